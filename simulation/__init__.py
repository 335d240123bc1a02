"""Months of trouble in memory: the life cycle and the sandbox's exchange, joined under a virtual clock.

`plan` makes a month from a seed, `strikes` says what can go wrong, `network` stands between the two sides, `shell`
obeys the life cycle, and `ledger` and `limits` check after every step what has to hold. `soak` plays many months.
"""
