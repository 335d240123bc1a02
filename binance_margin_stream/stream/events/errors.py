"""The one error of reading what came over the wire, or what was stored of it."""

from __future__ import annotations

from pydantic import ValidationError

from binance_margin_stream.exceptions import OpenApiException

__all__ = ["MalformedFrameError", "reason_of"]


class MalformedFrameError(OpenApiException, ValueError):
    """A frame, or a stored event, that is not what the exchange promises: an event may be lost in it.

    The message says what is wrong with it and never repeats its content, since a listen key may be in there.
    """


def reason_of(kind: str, error: ValidationError) -> str:
    """What is wrong with an event of this kind, without its values."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{kind}: field {field!r} is {'missing' if first['type'] == 'missing' else 'ill-typed'}"
