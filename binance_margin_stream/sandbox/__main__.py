"""Run the sandbox: ``python -m binance_margin_stream.sandbox``."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
