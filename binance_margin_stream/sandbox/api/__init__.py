"""The exchange's interfaces: REST calls, WebSocket API methods and stream hosts, without I/O.

May import `delivery`, `model` and `faults`; never `server` or `control`.
"""
