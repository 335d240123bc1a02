"""What the command lines share: output in any encoding, errors on one line, and exit codes.

May be imported by `cli`, `sandbox` and `demo`; imports nothing of the package.
"""
