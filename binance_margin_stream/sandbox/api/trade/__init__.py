"""The calls that place and cancel orders, borrow, repay and transfer.

May import `trading`, `delivery`, `model`, the base modules of `api`, and the rows of `api.margin`.
"""
