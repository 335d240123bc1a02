"""The command `relay`: its options, and how they become a process.

May import `relay` and the modules of `cli`, never `cli.listen` or `cli.doctor`.
"""
