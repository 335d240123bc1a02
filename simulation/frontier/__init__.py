"""The frontier rule of the relay, explored: several readers of one account, one store, every fault.

`exchange` and `store` are the two other sides, `reader` drives the decisions of `binance_margin_stream.relay`, `checks`
holds what must be true after every step, `run` plays one schedule, `explore` many, `mutations` with a broken rule.
"""
