"""The command `listen`: follows accounts in a live table or as JSON lines.

May import `cli` helpers and the public package; never `cli.doctor`.
"""
