"""The command line: ``python -m binance_margin_stream``."""

import sys

from binance_margin_stream.cli import main

if __name__ == "__main__":
    sys.exit(main())
