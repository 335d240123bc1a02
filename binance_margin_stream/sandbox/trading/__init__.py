"""The sandbox's market: orders, execution, loans, margin levels and liquidation.

May import `delivery` and `model`; never `api`, `server` or `control`.
"""
