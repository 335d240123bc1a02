"""The market that the sandbox shows: prices, candles, public trades and the order book.

May import the rules and amounts; never the other modules of `model` except `users`.
"""
