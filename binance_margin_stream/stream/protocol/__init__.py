"""The stream's state machine, without I/O: time, frames and responses in, actions and items out.

May import `stream.events` and the values in `stream`; never `stream.io`, `http` or a socket.
"""
