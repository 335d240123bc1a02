"""The stream's state machine, without I/O: time, frames and responses in, actions and items out.

May import `stream.failures`, `stream.events`, `stream.sources`, `stream.health` and the values below them; never
`stream.io`, `http` or a socket.
"""
