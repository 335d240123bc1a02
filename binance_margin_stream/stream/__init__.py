"""The streams: typed events of margin accounts, from connections that are kept alive.

`sync_stream` and `async_stream` are the public classes. They import `io`, which imports `protocol`, which imports
`events`; all of them import the values in this folder. The public names are exported by the package root.
May import `http` and the modules at the package root; never `sandbox` or `cli`.
"""
