"""Simulated months: the stream's state machine and the sandbox's exchange, joined in memory under a virtual clock.

`plan` makes a month from a seed, with faults from `fault_catalog`. `scenario` runs the month: `network` connects the
two sides, `driver` executes the actions of the state machine, `faults` injects the faults, and `checks`, `limit_checks`
and `recovery` verify the properties after every step. `soak` runs many months, `mutations` shows that broken rules are
detected, and `loopback_soak` injects the same faults over real sockets.
"""
