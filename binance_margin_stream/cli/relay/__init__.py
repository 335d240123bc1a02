"""The command `relay`: its options, and how they become a process of `binance_margin_stream.relay`."""
