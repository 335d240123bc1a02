"""The items that a stream delivers, and the decoder that makes them from WebSocket frames.

May import `stream.accounts` and the modules at the package root; nothing else of `stream`.
"""
