"""The methods of `Sandbox` by topic; each is safe to call from any thread.

May import the rest of the sandbox except `sandbox.sandbox` and `sandbox.cli`.
"""
