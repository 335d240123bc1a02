"""The command `doctor`: checks hosts, key, clock and subscriptions, and reports causes.

May import `cli` helpers and the public package; never `cli.listen`.
"""
