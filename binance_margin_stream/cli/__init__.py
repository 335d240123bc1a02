"""The command line ``binance-margin-stream``, also as ``python -m binance_margin_stream``.

It needs the extra: ``pip install 'binance-margin-stream[cli]'``. May import every other part of the package.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["main"]

_REQUIRED_MODULES = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit code, which `binance_margin_stream.cli.exit_codes` explains."""
    try:
        for name in _REQUIRED_MODULES:
            import_module(name)
    except ModuleNotFoundError as missing:
        print(f"error: {missing.name} is missing: pip install 'binance-margin-stream[cli]'", file=sys.stderr)
        return 1
    from binance_margin_stream.cli.runner import run

    return run(sys.argv[1:] if arguments is None else list(arguments))
