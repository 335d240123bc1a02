"""Event payloads, and their delivery to subscribed connections.

May import `model` and `faults`; never `trading`, `api` or `server`.
"""
