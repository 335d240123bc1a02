"""Follow a Binance margin account: listen keys, listen tokens, typed events, and a sandbox exchange.

Nothing is imported before it is used: `import binance_margin_stream` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from binance_margin_stream.api import IsolatedMarginStreamApi as IsolatedMarginStreamApi
    from binance_margin_stream.api import ListenTokenApi as ListenTokenApi
    from binance_margin_stream.api import MarginListenKeyApi as MarginListenKeyApi
    from binance_margin_stream.api import MarginStreamApi as MarginStreamApi
    from binance_margin_stream.api import RiskStreamApi as RiskStreamApi
    from binance_margin_stream.api_response import ApiResponse as ApiResponse
    from binance_margin_stream.auth import ApiKeyAuth as ApiKeyAuth
    from binance_margin_stream.client import ApiClient as ApiClient
    from binance_margin_stream.configuration import Configuration as Configuration
    from binance_margin_stream.endpoints import Endpoints as Endpoints
    from binance_margin_stream.exceptions import ApiException as ApiException
    from binance_margin_stream.exceptions import ApiTypeError as ApiTypeError
    from binance_margin_stream.exceptions import ApiValueError as ApiValueError
    from binance_margin_stream.exceptions import BadParameterError as BadParameterError
    from binance_margin_stream.exceptions import BadRequestException as BadRequestException
    from binance_margin_stream.exceptions import BannedError as BannedError
    from binance_margin_stream.exceptions import BlockedError as BlockedError
    from binance_margin_stream.exceptions import EndpointRetiredError as EndpointRetiredError
    from binance_margin_stream.exceptions import KeyRejectedError as KeyRejectedError
    from binance_margin_stream.exceptions import ListenKeyUnknownError as ListenKeyUnknownError
    from binance_margin_stream.exceptions import ListenTokenInvalidError as ListenTokenInvalidError
    from binance_margin_stream.exceptions import OpenApiException as OpenApiException
    from binance_margin_stream.exceptions import RateLimitError as RateLimitError
    from binance_margin_stream.exceptions import ResponseError as ResponseError
    from binance_margin_stream.exceptions import ServerError as ServerError
    from binance_margin_stream.exceptions import StreamError as StreamError
    from binance_margin_stream.exceptions import TimestampError as TimestampError
    from binance_margin_stream.exceptions import TransportError as TransportError
    from binance_margin_stream.models import (
        ApiV3UserDataStreamPost200Response as ApiV3UserDataStreamPost200Response,
    )
    from binance_margin_stream.models import Error as Error
    from binance_margin_stream.models import ListenToken as ListenToken
    from binance_margin_stream.retry import NO_RETRIES as NO_RETRIES
    from binance_margin_stream.retry import RetryPolicy as RetryPolicy
    from binance_margin_stream.transport import Timeout as Timeout

__version__ = "1.0.0"

_GENERATED = {
    "api": (
        "IsolatedMarginStreamApi",
        "ListenTokenApi",
        "MarginListenKeyApi",
        "MarginStreamApi",
        "RiskStreamApi",
    ),
    "models": ("ApiV3UserDataStreamPost200Response", "Error", "ListenToken"),
}
_BY_HAND = {
    "api_response": ("ApiResponse",),
    "auth": ("ApiKeyAuth",),
    "client": ("ApiClient",),
    "configuration": ("Configuration",),
    "endpoints": ("Endpoints",),
    "exceptions": (
        "ApiException",
        "ApiTypeError",
        "ApiValueError",
        "BadParameterError",
        "BadRequestException",
        "BannedError",
        "BlockedError",
        "EndpointRetiredError",
        "KeyRejectedError",
        "ListenKeyUnknownError",
        "ListenTokenInvalidError",
        "OpenApiException",
        "RateLimitError",
        "ResponseError",
        "ServerError",
        "StreamError",
        "TimestampError",
        "TransportError",
    ),
    "retry": ("NO_RETRIES", "RetryPolicy"),
    "transport": ("Timeout",),
}
_MODULES = {name: module for module, names in (_GENERATED | _BY_HAND).items() for name in names}

__all__ = ["__version__", *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]  # each fact once


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    if module in _GENERATED:
        from binance_margin_stream.guard import guarded

        value = guarded(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _MODULES.keys())
