"""The market that the sandbox shows: prices, candles, public trades and filters.

May import the values of `model.orders` and `model.users`.
"""
