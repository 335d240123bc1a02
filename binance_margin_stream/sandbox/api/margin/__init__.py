"""The calls that read accounts, orders, trades and records.

May import `trading`, `delivery`, `model` and the base modules of `api`.
"""
