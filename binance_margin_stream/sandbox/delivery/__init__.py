"""Event payloads, and their way to the connections that are subscribed to them.

May import `model` and `faults`; never `trading`, `api` or `server`.
"""
