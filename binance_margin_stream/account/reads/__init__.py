"""Read calls as values: what to ask, what came back, and how fast the exchange may be asked.

May import the modules at the package root, `stream.accounts` and `account.settings`.
"""
