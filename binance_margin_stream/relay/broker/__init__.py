"""The relay's side of NATS: connection, stored stream, key-value entries, publisher and its spool, embedded server.

May import the decisions of `relay` and the modules at the package root; nothing of `jobs`, `service` or the readers.
"""
