"""The sandbox's state: users, credentials, connections, orders, balances, prices, limits, scheduled callbacks.

May import `faults` and the base modules of `sandbox`; nothing above.
"""
