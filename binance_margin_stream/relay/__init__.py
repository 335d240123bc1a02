"""Several readers of one account, one stored stream on NATS JetStream.

The modules here decide without I/O, `RelayReader` apart; `broker`, `jobs` and `service` do what was decided. Imports
the stream and what lies below it, never `cli` or `sandbox`.
"""
