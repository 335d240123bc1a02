"""Recovery of what a gap may have lost, and the account as it is: decisions without I/O.

May import `stream.events`, `stream.accounts` and the modules at the package root; never `stream.io`, `http` or a
socket. The exchange's responses arrive here as plain rows.
"""
