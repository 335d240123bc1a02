"""Control of a running sandbox: operations, their HTTP interface and client, and scripts.

May import `faults` and the values in `sandbox`; never `server`.
"""
