"""How the sandbox exchange behaves: one frozen value with every switch and limit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Literal, get_args

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "MINUTE_MS",
    "RETIRED_PATHS",
    "EmptyBody",
    "ExchangeRules",
    "FieldPresence",
    "ListenKeyKind",
    "ListenKeyV2Host",
    "ResubscribeResponse",
    "RetiredEndpoints",
    "SignaturePolicy",
    "TimeUnit",
    "TimestampType",
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
FieldPresence = Literal["present", "missing"]
ResubscribeResponse = Literal["same_id", "new_id", "refused", "refused_but_extended"]
ListenKeyV2Host = Literal["either", "stream", "margin_stream"]
EventNameStyle = Literal["upper", "camel"]
EmptyBody = Literal["nothing", "object"]


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """Every rule of the sandbox exchange; times are integer milliseconds of exchange time.

    The defaults follow the exchange's documentation. Where that is silent or contradicts itself, both
    readings are a value of one field, so that a client can be tried against either.
    """

    retired_endpoints: RetiredEndpoints = "gone"
    """Whether the six calls removed on 2026-02-20 answer 410 (``gone``) or still work (``served``)."""

    retired_paths: frozenset[str] = frozenset()
    """Further paths, or methods of the WebSocket API, that are retired from the start."""

    signature_policy: SignaturePolicy = "optional"
    """Whether ``POST /sapi/v1/userListenToken`` must be signed; the documentation contradicts itself."""

    listen_key_validity_ms: int = HOUR_MS
    """Validity of the old listen key after a POST or PUT; documented."""

    listen_key_v2_validity_ms: int = HOUR_MS
    """Validity of the listen key V2; undocumented, taken from its siblings."""

    risk_listen_key_validity_ms: int = HOUR_MS
    """Validity of the risk listen key: 60 minutes on three pages of the documentation, 24 hours on two."""

    listen_token_validity_ms: int = DAY_MS
    """The longest, and the default, validity of a listen token; documented."""

    expiration_time_unit: TimeUnit = "us"
    """Unit of ``expirationTime`` in the answer to a subscribe; shown with 16 digits where REST has 13."""

    subscription_id: FieldPresence = "present"
    """Whether the answer to a subscribe carries ``subscriptionId``; not certain."""

    revocation_notice: FieldPresence = "present"
    """Whether WebSocket API connections are told, unasked, that an API key was revoked; not certain."""

    working_time_type: TimestampType = "integer"
    """Type of ``W`` in the execution reports of orders on the book; one official source shows a string."""

    resubscribe_response: ResubscribeResponse = "same_id"
    """What a second subscribe for an account answers: the same id, a new one, or -2035; undocumented."""

    listen_key_expired_time_type: TimestampType = "string"
    """Type of ``E`` in ``listenKeyExpired``; shown as a string, an integer everywhere else."""

    listen_key_v2_host: ListenKeyV2Host = "either"
    """Which stream host takes a listen key V2; undocumented. A choice other than ``either`` gives the risk
    stream's host an address of its own."""

    empty_body: EmptyBody = "nothing"
    """What PUT and DELETE of a listen key V2 or risk listen key answer: no body, as documented, or ``{}``, without
    which the exchange's own SDK fails."""

    margin_event_name_style: EventNameStyle = "upper"
    """Spelling of the margin events: ``MARGIN_LEVEL_STATUS_CHANGE`` or ``marginLevelStatusChange``."""

    ip_weight_limit: int = 12_000
    """Weight per call, IP and minute of the calls counted by IP; documented."""

    uid_weight_limit: int = 180_000
    """Weight per call, account and minute of the calls counted by account; documented."""

    websocket_api_weight_limit: int = 6_000
    """Weight per IP and minute of the WebSocket API, as its answers show; that of the calls without a key, too."""

    refusals_before_ban: int = 10
    """How many requests of one minute are answered 429 before the IP is banned; not published."""

    first_ban_ms: int = 2 * MINUTE_MS
    """Length of an IP's first ban; every further ban is twice as long. Documented."""

    max_ban_ms: int = 3 * DAY_MS
    """Longest ban; documented."""

    max_body_bytes: int = 65_536
    """Largest request body in bytes; the gateway's limit is not published."""

    ping_interval_ms: int = 20_000
    """Time between two pings from the server; documented."""

    pong_timeout_ms: int = MINUTE_MS
    """How long the server waits for the answer to a ping; documented."""

    connection_lifetime_ms: int = DAY_MS
    """How long a WebSocket connection lives; documented."""

    connection_attempt_limit: int = 300
    """WebSocket connection attempts per IP and host in ``connection_attempt_window_ms``; documented."""

    connection_attempt_window_ms: int = 5 * MINUTE_MS
    """Length of the window of `connection_attempt_limit`; documented."""

    stream_message_limit_per_second: int = 5
    """Messages, pings and pongs that a client may send in a second to a stream host; documented."""

    active_subscription_limit: int = 1_000
    """Active subscriptions of one WebSocket API connection; documented."""

    active_subscription_limit_code: int = -1034
    """Error code of one subscription too many; the documentation says "an error" and gives no number."""

    total_subscription_limit: int = 65_535
    """Subscriptions of one WebSocket API connection over its whole life; documented."""

    symbols: frozenset[str] | None = None
    """Symbols that exist; by default, whatever ends with one of `quote_assets`."""

    quote_assets: tuple[str, ...] = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL")
    """Quote assets, which tell where the symbol's base asset ends."""

    opening_balance: Decimal = Decimal(1_000_000)
    """What an account has of every asset before anything moves; 0 for accounts whose margin level means something."""

    opening_price: Decimal = Decimal(100)
    """Price of every symbol until one is set."""

    commission_rate: Decimal = Decimal("0.001")
    """The part of what a trade brings that is kept as commission."""

    hourly_interest_rate: Decimal = Decimal(0)
    """The part of the borrowed amount that is charged at every full hour; the exchange's rates change daily."""

    margin_level_thresholds: tuple[Decimal, Decimal, Decimal, Decimal] = (
        Decimal(2),
        Decimal("1.3"),
        Decimal("1.2"),
        Decimal("1.1"),
    )
    """Levels above which the status is EXCESSIVE, NORMAL, MARGIN_CALL and PRE_LIQUIDATION; at the last one and
    below, the account is liquidated. The exchange's own differ by account and leverage."""

    max_log_entries: int = 10_000
    """How many REST calls, and how many orders that ended, are remembered."""

    def __post_init__(self) -> None:
        """Refuse values outside their choices, so that a typing error cannot pass for a behaviour.

        Raises:
            ValueError: naming the field and what it takes.

        """
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"ExchangeRules.{name} takes one of {', '.join(choices)}")
        for field in fields(self):
            if field.type == "int" and field.name != "active_subscription_limit_code":
                _check_positive(field.name, getattr(self, field.name))
            if field.type == "Decimal":
                _check_amount(field.name, getattr(self, field.name))
        if not self.opening_price:
            raise ValueError("ExchangeRules.opening_price takes a Decimal above 0")
        if self.commission_rate >= 1:
            raise ValueError("ExchangeRules.commission_rate takes a Decimal below 1")
        if (
            list(self.margin_level_thresholds) != sorted(set(self.margin_level_thresholds), reverse=True)
            or len(self.margin_level_thresholds) != 4
        ):
            raise ValueError("ExchangeRules.margin_level_thresholds takes four levels, falling")

    def initial_retired_paths(self) -> frozenset[str]:
        """Every path and method that is retired when the exchange opens."""
        return self.retired_paths | (RETIRED_PATHS if self.retired_endpoints == "gone" else frozenset())

    def split_symbol(self, symbol: str) -> tuple[str, str] | None:
        """Base and quote asset of a symbol, or None where no such symbol exists."""
        if self.symbols is not None and symbol not in self.symbols:
            return None
        for quote in self.quote_assets:
            if symbol.endswith(quote) and len(symbol) > len(quote):
                return symbol[: -len(quote)], quote
        return None


_CHOICES: dict[str, tuple[str, ...]] = {
    "retired_endpoints": get_args(RetiredEndpoints),
    "signature_policy": get_args(SignaturePolicy),
    "expiration_time_unit": get_args(TimeUnit),
    "subscription_id": get_args(FieldPresence),
    "revocation_notice": get_args(FieldPresence),
    "working_time_type": get_args(TimestampType),
    "resubscribe_response": get_args(ResubscribeResponse),
    "listen_key_expired_time_type": get_args(TimestampType),
    "listen_key_v2_host": get_args(ListenKeyV2Host),
    "empty_body": get_args(EmptyBody),
    "margin_event_name_style": get_args(EventNameStyle),
}


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"ExchangeRules.{name} takes a whole number from 1")


def _check_amount(name: str, value: object) -> None:
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        raise ValueError(f"ExchangeRules.{name} takes a Decimal from 0")
