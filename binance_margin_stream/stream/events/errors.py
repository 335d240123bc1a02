"""The error of reading what came over the wire, or what was stored of it."""

from __future__ import annotations

from binance_margin_stream.exceptions import OpenApiException

__all__ = ["MalformedFrameError"]


class MalformedFrameError(OpenApiException, ValueError):
    """A frame, or a stored event, that is not what the exchange promises: an event may be lost in it.

    The message says what is wrong with it and never repeats its content, since a listen key may be in there.
    """
