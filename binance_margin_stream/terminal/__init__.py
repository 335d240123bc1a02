"""What the command lines share: output in any encoding, errors on one line, and exit codes.

May import nothing of the package. `cli`, `sandbox` and `demo` import it.
"""
