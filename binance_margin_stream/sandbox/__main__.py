"""Run the sandbox: ``python -m binance_margin_stream.sandbox``."""

import sys

from binance_margin_stream.terminal.streams import print_error

if __name__ == "__main__":
    try:
        from binance_margin_stream.sandbox.cli import main
    except ModuleNotFoundError as missing:
        sys.exit(print_error(f"{missing.name} is missing: pip install 'binance-margin-stream[sandbox]'", 1))
    sys.exit(main())
