"""The command line ``binance-margin-stream``, also ``python -m binance_margin_stream``.

Needs the extra: ``pip install 'binance-margin-stream[cli]'``. May import everything but `demo` at the top of a module.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["main"]

_REQUIRED_MODULES = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, see `binance_margin_stream.cli.runner.ExitCode`."""
    try:
        for name in _REQUIRED_MODULES:
            import_module(name)
    except ModuleNotFoundError as missing:
        print(f"error: {missing.name} is missing: pip install 'binance-margin-stream[cli]'", file=sys.stderr)
        return 1
    from binance_margin_stream.cli.app import app
    from binance_margin_stream.cli.runner import run

    return run(app, sys.argv[1:] if arguments is None else list(arguments))
