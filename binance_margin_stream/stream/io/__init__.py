"""The parts of a stream with an event loop, a thread, a socket or a clock; they make no decisions.

May import `stream.protocol`, `stream.events` and `http`; never the stream classes above.
"""
