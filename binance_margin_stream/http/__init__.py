"""The hand-written client over the generated one: transport, retries, errors, redaction.

May import the generated modules and the modules at the package root; never `stream`, `sandbox` or `cli`.
"""
