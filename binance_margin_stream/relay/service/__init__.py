"""A relay at work: one worker a key, the frontier's reads and writes, health, metrics and logs.

May import everything else of `relay` but the readers, and the stream.
"""
