"""What is known of one account: fills that were delivered, orders and balances.

May import `account.reads.rows`, `account.items`, `stream.events` and `stream.accounts`.
"""
