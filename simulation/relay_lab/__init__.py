"""Relays as real processes: a real NATS server, the sandbox as the exchange, and faults between them.

`processes` starts relays and servers, `proxy` stands between a relay and the exchange, `exchange` sends events and
remembers them, `witness` reads what is stored and compares, `scenarios` holds the faults, `lab` runs one of them.
"""
