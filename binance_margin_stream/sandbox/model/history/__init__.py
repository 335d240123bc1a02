"""What happened: trades, order lists, loans, interest, transfers, liquidations and capital flow, indexed for queries.

May import the modules of `model` for users, orders and rules; never `model.state`.
"""
