"""The sandbox's state: users, credentials, connections, orders, balances, prices, limits, timers.

May import `faults` and the values in `sandbox`; nothing above.
"""
