"""The rules of the sandbox exchange: every choice and limit in one frozen value."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Literal, get_args, get_origin, get_type_hints

from binance_margin_stream.sandbox.amounts import ZERO, parse_decimal
from binance_margin_stream.sandbox.trading_rules import FieldPresence, TradingRules

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "MINUTE_MS",
    "RETIRED_PATHS",
    "EmptyBody",
    "ErrorCodeType",
    "EventNameStyle",
    "ExchangeRules",
    "FieldPresence",
    "ListenKeyCharacters",
    "ListenKeyKind",
    "ListenKeyV2Host",
    "ResubscribeResponse",
    "RetiredEndpoints",
    "SignaturePolicy",
    "SubscribeResponse",
    "TimeUnit",
    "TimestampType",
    "scale_rules",
]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

RETIRED_PATHS = frozenset({"/sapi/v1/userDataStream", "/sapi/v1/userDataStream/isolated"})
"""Paths of the six calls that were removed from production on 2026-02-20."""

ListenKeyKind = Literal["listen_key", "listen_key_v2", "risk_listen_key"]
RetiredEndpoints = Literal["gone", "served"]
SignaturePolicy = Literal["optional", "required"]
TimeUnit = Literal["us", "ms"]
TimestampType = Literal["string", "integer"]
ResubscribeResponse = Literal["same_id", "new_id", "both_deliver", "refused", "refused_but_extended"]
SubscribeResponse = Literal["enveloped", "bare"]
ErrorCodeType = Literal["integer", "string"]
ListenKeyCharacters = Literal["alphanumeric", "base64"]
ListenKeyV2Host = Literal["either", "stream", "margin_stream"]
EventNameStyle = Literal["upper", "camel"]
EmptyBody = Literal["nothing", "object"]

_MIN_PONG_SECONDS = 1.0
_MAX_INTEGER = 10**15


@dataclass(frozen=True, slots=True)
class ExchangeRules(TradingRules):
    """Every rule of the sandbox exchange; times are integer milliseconds of exchange time.

    The defaults follow the exchange's documentation. Where the documentation is silent or contradicts itself,
    a field has a value for each reading, so that a client can be tested against all of them.
    """

    retired_endpoints: RetiredEndpoints = "gone"
    """Whether the six calls removed on 2026-02-20 respond 410 (``gone``) or still work (``served``)."""

    retired_paths: frozenset[str] = frozenset()
    """Further REST paths or WebSocket API methods that are retired from the start."""

    signature_policy: SignaturePolicy = "optional"
    """Whether ``POST /sapi/v1/userListenToken`` must be signed; the documentation contradicts itself."""

    listen_key_characters: ListenKeyCharacters = "alphanumeric"
    """Characters of listen keys: letters and digits, as in every documented example, or also `+` and `/`, which clients
    have to percent-encode. Listen tokens always have both."""

    listen_key_validity_ms: int = HOUR_MS
    """Validity of the old listen key after a POST or PUT; documented."""

    listen_key_v2_validity_ms: int = HOUR_MS
    """Validity of the listen key V2; undocumented, assumed to equal that of the other listen keys."""

    risk_listen_key_validity_ms: int = HOUR_MS
    """Validity of the risk listen key: 60 minutes on three pages of the documentation, 24 hours on two."""

    listen_token_validity_ms: int = DAY_MS
    """Maximum and default validity of a listen token; documented."""

    expiration_time_unit: TimeUnit = "us"
    """Unit of ``expirationTime`` in the subscribe response; documented with 16 digits there, with 13 in REST."""

    subscription_id: FieldPresence = "present"
    """Whether the subscribe response has ``subscriptionId``; uncertain."""

    revocation_notice: FieldPresence = "present"
    """Whether WebSocket API connections get an error message when their API key is revoked; uncertain."""

    working_time_type: TimestampType = "integer"
    """Type of ``W`` in the execution reports of orders on the book; one official source shows a string."""

    resubscribe_response: ResubscribeResponse = "same_id"
    """Response to a second subscribe for an account; undocumented. ``same_id`` extends the subscription; ``new_id``
    replaces it; ``both_deliver`` adds one with a new id, so that every event comes twice until the old one expires;
    ``refused`` is -2035, and ``refused_but_extended`` is -2035 although the subscription is extended."""

    subscribe_response: SubscribeResponse = "enveloped"
    """Whether a successful subscribe response has ``id``, ``status`` and ``result``, as documented for the WebSocket
    API, or is the bare result, as the margin page shows it."""

    error_code_type: ErrorCodeType = "integer"
    """Type of ``code`` in error responses; integers are documented, strings were seen from proxies."""

    listen_key_expired_time_type: TimestampType = "string"
    """Type of ``E`` in ``listenKeyExpired``; documented as a string there, as an integer elsewhere."""

    listen_key_v2_host: ListenKeyV2Host = "either"
    """Stream host that serves a listen key V2; undocumented. With a value other than ``either``, the risk stream's
    host has a separate address."""

    empty_body: EmptyBody = "nothing"
    """Body of a successful PUT or DELETE of a listen key V2 or risk listen key: none, as documented, or ``{}``, which
    the exchange's own SDK requires."""

    margin_event_name_style: EventNameStyle = "upper"
    """Names of the margin events: ``MARGIN_LEVEL_STATUS_CHANGE`` or ``marginLevelStatusChange``."""

    ip_weight_limit: int = 12_000
    """Weight per call, IP and minute, for calls that are counted by IP; documented."""

    uid_weight_limit: int = 180_000
    """Weight per call, user and minute, for calls that are counted by user; documented."""

    websocket_api_weight_limit: int = 6_000
    """Weight per IP and minute of the WebSocket API, as its responses show, and of the calls without a key."""

    refusals_before_ban: int = 10
    """Number of 429 responses in a minute before the IP is banned; not published."""

    first_ban_ms: int = 2 * MINUTE_MS
    """Length of an IP's first ban; each further ban is twice as long. Documented."""

    max_ban_ms: int = 3 * DAY_MS
    """Maximum length of a ban; documented."""

    max_body_bytes: int = 65_536
    """Maximum size of a request body; the exchange's limit is not published."""

    ping_interval_ms: int | None = 20_000
    """Interval of the server's pings; documented for the WebSocket API and for spot streams. Older pages of the margin
    streams give 3 minutes; None: the server sends no pings."""

    pong_timeout_ms: int = MINUTE_MS
    """How long the server waits for a pong before it closes the connection; documented."""

    connection_lifetime_ms: int = DAY_MS
    """Maximum lifetime of a WebSocket connection; documented."""

    connection_attempt_limit: int = 300
    """WebSocket connection attempts per IP and host in ``connection_attempt_window_ms``; documented."""

    connection_attempt_window_ms: int = 5 * MINUTE_MS
    """Window of `connection_attempt_limit`; documented."""

    stream_message_limit_per_second: int = 5
    """Messages, pings and pongs per second that a client may send to a stream host; documented."""

    active_subscription_limit: int = 1_000
    """Active subscriptions per WebSocket API connection; documented."""

    active_subscription_limit_code: int = -1034
    """Error code for a subscription above that limit; the documentation says "an error" and gives no code."""

    total_subscription_limit: int = 65_535
    """Subscriptions of a WebSocket API connection during its lifetime; documented."""

    max_log_entries: int = 10_000
    """How many REST calls are kept."""

    def __post_init__(self) -> None:
        """Validate the fields, so that a misspelled value is not silently ignored.

        Raises:
            ValueError: names the field and what it takes.

        """
        for name, choices in _choices().items():
            if getattr(self, name) not in choices:
                raise ValueError(f"ExchangeRules.{name} takes one of {', '.join(choices)}")
        for field in fields(self):
            value = getattr(self, field.name)
            is_code = field.name == "active_subscription_limit_code"
            if (field.type == "int" and not is_code) or (field.type == "int | None" and value is not None):
                _check_positive(field.name, value)
            if field.type == "Decimal":
                _check_amount(field.name, value)
        for name in ("opening_price", "tick_size", "step_size", "max_leverage"):
            if not getattr(self, name):
                raise ValueError(f"ExchangeRules.{name} takes a Decimal above 0")
        if self.commission_rate >= 1:
            raise ValueError("ExchangeRules.commission_rate takes a Decimal below 1")
        if (
            list(self.margin_level_thresholds) != sorted(set(self.margin_level_thresholds), reverse=True)
            or len(self.margin_level_thresholds) != 4
        ):
            raise ValueError("ExchangeRules.margin_level_thresholds takes four levels in descending order")

    def initial_retired_paths(self) -> frozenset[str]:
        """Every path and method that is retired at the start."""
        return self.retired_paths | (RETIRED_PATHS if self.retired_endpoints == "gone" else frozenset())


def scale_rules(rules: ExchangeRules, speed: float) -> ExchangeRules:
    """Rules for a clock that runs `speed` times faster, under which clients still have a real second for a pong."""
    min_pong_ms = int(speed * 1000 * _MIN_PONG_SECONDS)
    pongs_per_second = min_pong_ms // rules.ping_interval_ms if rules.ping_interval_ms else 0
    return replace(
        rules,
        pong_timeout_ms=max(rules.pong_timeout_ms, min_pong_ms),
        stream_message_limit_per_second=rules.stream_message_limit_per_second + pongs_per_second,
    )


@functools.cache
def _choices() -> dict[str, tuple[str, ...]]:
    """The values of each field that is a `Literal`."""
    return {name: get_args(hint) for name, hint in get_type_hints(ExchangeRules).items() if get_origin(hint) is Literal}


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_INTEGER:
        raise ValueError(f"ExchangeRules.{name} takes a whole number from 1 to {_MAX_INTEGER}")


def _check_amount(name: str, value: object) -> None:
    try:
        valid = isinstance(value, Decimal) and parse_decimal(value) >= ZERO
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"ExchangeRules.{name} takes a Decimal from 0, with at most 15 digits and 18 decimals")
