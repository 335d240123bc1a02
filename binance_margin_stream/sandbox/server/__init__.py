"""The sandbox's sockets: the web server, its thread, WebSocket connections, TLS, and the page.

May import the rest of the sandbox except `sandbox.sandbox`, `sandbox.handle` and `sandbox.cli`.
"""
