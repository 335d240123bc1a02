"""The calls that clients make at the start, and those that show the market.

May import `trading`, `delivery`, `model` and the base modules of `api`.
"""
