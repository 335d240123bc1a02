"""The stream half: typed events from a connection that is kept alive.

May import `http` and the modules at the package root; never `sandbox` or `cli`.
"""
