"""What is known of one account: fills that were delivered, orders and balances.

May import `account.reads.rows`, `account.settings`, `account.checkpoint`, `stream.events` and `stream.accounts`.
"""
