"""Control of a running sandbox: operations, their HTTP interface and client, and scripts.

May import `faults` and the base modules of `sandbox`; never `model`, `api` or `server`.
"""
