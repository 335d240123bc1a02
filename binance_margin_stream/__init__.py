"""Binance margin user data streams: REST calls, a stream of typed events, and a sandbox exchange.

Names are imported on first use, so that ``import binance_margin_stream`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from binance_margin_stream._version import __version__ as __version__
    from binance_margin_stream.account.items import AccountChanged as AccountChanged
    from binance_margin_stream.account.settings import Recovery as Recovery
    from binance_margin_stream.account.state.snapshot import AccountSnapshot as AccountSnapshot
    from binance_margin_stream.account.state.snapshot import AccountTrade as AccountTrade
    from binance_margin_stream.account.state.snapshot import AssetBalance as AssetBalance
    from binance_margin_stream.account.state.snapshot import InexactReason as InexactReason
    from binance_margin_stream.account.state.snapshot import Interval as Interval
    from binance_margin_stream.account.state.snapshot import OpenOrder as OpenOrder
    from binance_margin_stream.api import IsolatedMarginStreamApi as IsolatedMarginStreamApi
    from binance_margin_stream.api import ListenTokenApi as ListenTokenApi
    from binance_margin_stream.api import MarginAccountApi as MarginAccountApi
    from binance_margin_stream.api import MarginListenKeyApi as MarginListenKeyApi
    from binance_margin_stream.api import MarginOrdersApi as MarginOrdersApi
    from binance_margin_stream.api import MarginRecordsApi as MarginRecordsApi
    from binance_margin_stream.api import MarginStreamApi as MarginStreamApi
    from binance_margin_stream.api import RiskStreamApi as RiskStreamApi
    from binance_margin_stream.api import ServerTimeApi as ServerTimeApi
    from binance_margin_stream.api import UtaListenKeyApi as UtaListenKeyApi
    from binance_margin_stream.api_response import ApiResponse as ApiResponse
    from binance_margin_stream.auth import ApiKeyAuth as ApiKeyAuth
    from binance_margin_stream.configuration import Configuration as Configuration
    from binance_margin_stream.endpoints import Endpoints as Endpoints
    from binance_margin_stream.exceptions import AccountUnavailableError as AccountUnavailableError
    from binance_margin_stream.exceptions import ApiException as ApiException
    from binance_margin_stream.exceptions import ApiTypeError as ApiTypeError
    from binance_margin_stream.exceptions import ApiValueError as ApiValueError
    from binance_margin_stream.exceptions import BadParameterError as BadParameterError
    from binance_margin_stream.exceptions import BadRequestException as BadRequestException
    from binance_margin_stream.exceptions import BannedError as BannedError
    from binance_margin_stream.exceptions import BlockedError as BlockedError
    from binance_margin_stream.exceptions import CheckpointError as CheckpointError
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
    from binance_margin_stream.http.client import ApiClient as ApiClient
    from binance_margin_stream.http.retry import NO_RETRIES as NO_RETRIES
    from binance_margin_stream.http.retry import RetryPolicy as RetryPolicy
    from binance_margin_stream.http.transport import Timeout as Timeout
    from binance_margin_stream.models import (
        ApiV3UserDataStreamPost200Response as ApiV3UserDataStreamPost200Response,
    )
    from binance_margin_stream.models import CapitalFlow as CapitalFlow
    from binance_margin_stream.models import CrossMarginAccount as CrossMarginAccount
    from binance_margin_stream.models import ErrorResponse as ErrorResponse
    from binance_margin_stream.models import IsolatedMarginAccount as IsolatedMarginAccount
    from binance_margin_stream.models import IsolatedMarginAccounts as IsolatedMarginAccounts
    from binance_margin_stream.models import IsolatedMarginBalance as IsolatedMarginBalance
    from binance_margin_stream.models import ListenToken as ListenToken
    from binance_margin_stream.models import MarginBalance as MarginBalance
    from binance_margin_stream.models import MarginOrder as MarginOrder
    from binance_margin_stream.models import MarginTrade as MarginTrade
    from binance_margin_stream.models import ServerTime as ServerTime
    from binance_margin_stream.stream.accounts import CROSS as CROSS
    from binance_margin_stream.stream.accounts import Account as Account
    from binance_margin_stream.stream.accounts import isolated as isolated
    from binance_margin_stream.stream.async_stream import AsyncMarginStream as AsyncMarginStream
    from binance_margin_stream.stream.coverage import SubscriptionCoverage as SubscriptionCoverage
    from binance_margin_stream.stream.events.enumerations import ExecutionType as ExecutionType
    from binance_margin_stream.stream.events.enumerations import ExpiryReason as ExpiryReason
    from binance_margin_stream.stream.events.enumerations import MarginLevelStatus as MarginLevelStatus
    from binance_margin_stream.stream.events.enumerations import OrderStatus as OrderStatus
    from binance_margin_stream.stream.events.enumerations import OrderType as OrderType
    from binance_margin_stream.stream.events.enumerations import RejectReason as RejectReason
    from binance_margin_stream.stream.events.enumerations import SelfTradePreventionMode as SelfTradePreventionMode
    from binance_margin_stream.stream.events.enumerations import Side as Side
    from binance_margin_stream.stream.events.enumerations import TimeInForce as TimeInForce
    from binance_margin_stream.stream.events.errors import MalformedFrameError as MalformedFrameError
    from binance_margin_stream.stream.events.models import AccountLost as AccountLost
    from binance_margin_stream.stream.events.models import AnyEvent as AnyEvent
    from binance_margin_stream.stream.events.models import AnyItem as AnyItem
    from binance_margin_stream.stream.events.models import BalanceUpdate as BalanceUpdate
    from binance_margin_stream.stream.events.models import Event as Event
    from binance_margin_stream.stream.events.models import ExecutionReport as ExecutionReport
    from binance_margin_stream.stream.events.models import ExternalLockUpdate as ExternalLockUpdate
    from binance_margin_stream.stream.events.models import Fill as Fill
    from binance_margin_stream.stream.events.models import ListStatus as ListStatus
    from binance_margin_stream.stream.events.models import MarginLevelStatusChange as MarginLevelStatusChange
    from binance_margin_stream.stream.events.models import OutboundAccountPosition as OutboundAccountPosition
    from binance_margin_stream.stream.events.models import StreamGap as StreamGap
    from binance_margin_stream.stream.events.models import StreamItem as StreamItem
    from binance_margin_stream.stream.events.models import UnknownEvent as UnknownEvent
    from binance_margin_stream.stream.events.models import UserLiabilityChange as UserLiabilityChange
    from binance_margin_stream.stream.events.recovered import GapClosed as GapClosed
    from binance_margin_stream.stream.events.recovered import RecoveredOrder as RecoveredOrder
    from binance_margin_stream.stream.events.recovered import RecoveredTrade as RecoveredTrade
    from binance_margin_stream.stream.events.recovered import Unproven as Unproven
    from binance_margin_stream.stream.events.recovered import UnprovenKind as UnprovenKind
    from binance_margin_stream.stream.health import Health as Health
    from binance_margin_stream.stream.settings import StreamSettings as StreamSettings
    from binance_margin_stream.stream.state import GapReason as GapReason
    from binance_margin_stream.stream.state import State as State
    from binance_margin_stream.stream.state import StatusChange as StatusChange
    from binance_margin_stream.stream.state import StatusChangeKind as StatusChangeKind
    from binance_margin_stream.stream.sync_stream import MarginStream as MarginStream

_NAMES_BY_MODULE = {
    "_version": ("__version__",),
    "api": (
        "IsolatedMarginStreamApi",
        "ListenTokenApi",
        "MarginListenKeyApi",
        "MarginAccountApi",
        "MarginOrdersApi",
        "MarginRecordsApi",
        "MarginStreamApi",
        "RiskStreamApi",
        "ServerTimeApi",
        "UtaListenKeyApi",
    ),
    "models": (
        "ApiV3UserDataStreamPost200Response",
        "CapitalFlow",
        "CrossMarginAccount",
        "ErrorResponse",
        "IsolatedMarginAccount",
        "IsolatedMarginAccounts",
        "IsolatedMarginBalance",
        "ListenToken",
        "MarginBalance",
        "MarginOrder",
        "MarginTrade",
        "ServerTime",
    ),
    "api_response": ("ApiResponse",),
    "auth": ("ApiKeyAuth",),
    "http.client": ("ApiClient",),
    "configuration": ("Configuration",),
    "endpoints": ("Endpoints",),
    "exceptions": (
        "AccountUnavailableError",
        "ApiException",
        "ApiTypeError",
        "ApiValueError",
        "BadParameterError",
        "BadRequestException",
        "BannedError",
        "BlockedError",
        "CheckpointError",
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
    "http.retry": ("NO_RETRIES", "RetryPolicy"),
    "stream.accounts": (
        "Account",
        "CROSS",
        "isolated",
    ),
    "stream.state": (
        "GapReason",
        "State",
        "StatusChange",
        "StatusChangeKind",
    ),
    "stream.coverage": ("SubscriptionCoverage",),
    "stream.events.enumerations": (
        "ExecutionType",
        "ExpiryReason",
        "MarginLevelStatus",
        "OrderStatus",
        "OrderType",
        "RejectReason",
        "SelfTradePreventionMode",
        "Side",
        "TimeInForce",
    ),
    "stream.events.models": (
        "AccountLost",
        "AnyEvent",
        "AnyItem",
        "BalanceUpdate",
        "Event",
        "ExecutionReport",
        "ExternalLockUpdate",
        "Fill",
        "ListStatus",
        "MarginLevelStatusChange",
        "OutboundAccountPosition",
        "StreamGap",
        "StreamItem",
        "UnknownEvent",
        "UserLiabilityChange",
    ),
    "account.settings": ("Recovery",),
    "account.items": ("AccountChanged",),
    "stream.events.recovered": (
        "GapClosed",
        "RecoveredOrder",
        "RecoveredTrade",
        "Unproven",
        "UnprovenKind",
    ),
    "account.state.snapshot": (
        "AccountSnapshot",
        "AssetBalance",
        "InexactReason",
        "Interval",
        "OpenOrder",
        "AccountTrade",
    ),
    "stream.health": ("Health",),
    "stream.events.errors": ("MalformedFrameError",),
    "stream.settings": ("StreamSettings",),
    "stream.async_stream": ("AsyncMarginStream",),
    "stream.sync_stream": ("MarginStream",),
    "http.transport": ("Timeout",),
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [*_MODULE_BY_NAME]  # pyright: ignore[reportUnsupportedDunderAll]  # each fact once


def __getattr__(name: str) -> object:
    module = _MODULE_BY_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _MODULE_BY_NAME.keys())
