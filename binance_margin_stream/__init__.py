"""Follow a Binance margin account."""

__version__ = "1.0.0"
