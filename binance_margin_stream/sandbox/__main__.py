"""Run the sandbox: ``python -m binance_margin_stream.sandbox``."""

import sys

from binance_margin_stream.sandbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
