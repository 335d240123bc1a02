"""All events of a margin account, as the exchange documents them, under full names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import field

from binance_margin_stream.stream.accounts import CROSS, NO_ACCOUNT, Account, isolated
from binance_margin_stream.stream.events.base import (
    AccountLost,
    Event,
    Identity,
    StreamGap,
    StreamItem,
    TimedEvent,
)
from binance_margin_stream.stream.events.enumerations import MarginLevelStatus
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.execution_report import ExecutionReport, Fill
from binance_margin_stream.stream.events.field_types import (
    Integer,
    JsonValue,
    Money,
    Sent,
    Time,
    TimeOrText,
    format_value,
    to_optional_datetime,
)
from binance_margin_stream.stream.events.json_codec import ExtraFields
from binance_margin_stream.stream.events.record import NO_EXTRA, Record
from binance_margin_stream.stream.events.record_fields import local_field

__all__ = [
    "CROSS",
    "NO_ACCOUNT",
    "Account",
    "AccountEvent",
    "AccountLost",
    "AccountPositionBalance",
    "AnyEvent",
    "AnyItem",
    "BalanceUpdate",
    "ControlEvent",
    "Event",
    "EventStreamTerminated",
    "ExecutionReport",
    "ExternalLockUpdate",
    "Fill",
    "Identity",
    "KnownEvent",
    "ListStatus",
    "ListStatusOrder",
    "ListenKeyExpired",
    "MalformedFrameError",
    "MarginLevelStatusChange",
    "OutboundAccountPosition",
    "ServerShutdown",
    "StreamGap",
    "StreamItem",
    "TimedEvent",
    "UnknownEvent",
    "UserLiabilityChange",
    "isolated",
]

_FINGERPRINT_PREFIX = "sha256:"


class AccountPositionBalance(Record, frozen=True, kw_only=True):
    """What an account holds of one asset."""

    asset: Sent[str] = field(name="a")
    free: Sent[Money] = field(name="f")
    locked: Sent[Money] = field(name="l")
    extra: ExtraFields = local_field("extra", NO_EXTRA)
    """Fields by their wire names, as they came: those that this version does not know or could not read."""


class OutboundAccountPosition(TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="outboundAccountPosition"):
    """Balances after a change (``outboundAccountPosition``): only of the assets that may have changed."""

    event_type: Literal["outboundAccountPosition"] = local_field("event_type", "outboundAccountPosition")
    last_account_update_time: Sent[Time] = field(name="u")
    """Milliseconds since 1970-01-01 UTC."""
    balances: Sent[tuple[AccountPositionBalance, ...]] = field(name="B")

    @property
    def last_account_update_datetime(self) -> datetime | None:
        """`last_account_update_time`, in UTC."""
        return to_optional_datetime(self.last_account_update_time)

    @property
    def summary(self) -> str:
        """What is free, and what is locked."""
        texts = []
        for balance in self.balances or ():
            locked = f" ({format_value(balance.locked)} locked)" if balance.locked else ""
            texts.append(f"{format_value(balance.free)} {format_value(balance.asset)} free{locked}")
        return "balances: " + ", ".join(texts)

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The update time, else the event time; and each balance, by asset."""
        moment = self.event_time if self.last_account_update_time is None else self.last_account_update_time
        balances = sorted(self.balances or (), key=lambda balance: balance.asset or "")
        return moment, *(part for each in balances for part in (each.asset, each.free, each.locked))


class _BalanceChange(TimedEvent, frozen=True, kw_only=True):
    asset: Sent[str] = field(name="a")
    delta: Sent[Money] = field(name="d")
    """What was added; negative for what was taken away."""
    clear_time: Sent[Time] = field(name="T")
    """Milliseconds since 1970-01-01 UTC."""

    is_repeatable: ClassVar[bool] = True

    @property
    def clear_datetime(self) -> datetime | None:
        """`clear_time`, in UTC."""
        return to_optional_datetime(self.clear_time)

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The asset, the amount, and the clear time, else the event time."""
        return self.asset, self.delta, self.event_time if self.clear_time is None else self.clear_time


class BalanceUpdate(_BalanceChange, frozen=True, kw_only=True, tag_field="e", tag="balanceUpdate"):
    """A balance changed without a trade: a deposit, a withdrawal, a transfer (``balanceUpdate``)."""

    event_type: Literal["balanceUpdate"] = local_field("event_type", "balanceUpdate")

    @property
    def summary(self) -> str:
        """The amount, with its sign."""
        sign = "+" if self.delta is not None and self.delta > 0 else ""
        return f"{sign}{format_value(self.delta)} {format_value(self.asset)}"


class ExternalLockUpdate(_BalanceChange, frozen=True, kw_only=True, tag_field="e", tag="externalLockUpdate"):
    """Part of a balance was locked or released by another system (``externalLockUpdate``)."""

    event_type: Literal["externalLockUpdate"] = local_field("event_type", "externalLockUpdate")

    @property
    def summary(self) -> str:
        """The amount that was locked; negative for what was released."""
        return f"{format_value(self.delta)} {format_value(self.asset)} locked from outside"


class ListStatusOrder(Record, frozen=True, kw_only=True):
    """One order of an order list."""

    symbol: Sent[str] = field(name="s")
    order_id: Sent[Integer] = field(name="i")
    client_order_id: Sent[str] = field(name="c")
    extra: ExtraFields = local_field("extra", NO_EXTRA)
    """Fields by their wire names, as they came: those that this version does not know or could not read."""


class ListStatus(TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="listStatus"):
    """An order list, such as an OCO, changed (``listStatus``); each of its orders reports for itself, too."""

    event_type: Literal["listStatus"] = local_field("event_type", "listStatus")
    symbol: Sent[str] = field(name="s")
    order_list_id: Sent[Integer] = field(name="g")
    contingency_type: Sent[str] = field(name="c")
    list_status_type: Sent[str] = field(name="l")
    list_order_status: Sent[str] = field(name="L")
    list_reject_reason: Sent[str] = field(name="r")
    list_client_order_id: Sent[str] = field(name="C")
    transaction_time: Sent[Time] = field(name="T")
    """Milliseconds since 1970-01-01 UTC."""
    orders: Sent[tuple[ListStatusOrder, ...]] = field(name="O")

    @property
    def transaction_datetime(self) -> datetime | None:
        """`transaction_time`, in UTC."""
        return to_optional_datetime(self.transaction_time)

    @property
    def summary(self) -> str:
        """The list and its state."""
        parts = self.symbol, self.contingency_type, "order list", self.order_list_id, self.list_order_status
        return " ".join(map(format_value, parts))

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The symbol, the list, its states, and the transaction time, else the event time."""
        moment = self.event_time if self.transaction_time is None else self.transaction_time
        return self.symbol, self.order_list_id, self.list_status_type, self.list_order_status, moment


class ListenKeyExpired(TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="listenKeyExpired"):
    """The listen key ended; nothing follows until a new one is used (``listenKeyExpired``).

    `listen_key` is a bearer secret. It is there as an attribute only: the repr, `to_dict`, `to_json` and
    `identity` hold its fingerprint, so an event that is read back has the fingerprint in its place.
    """

    event_type: Literal["listenKeyExpired"] = local_field("event_type", "listenKeyExpired")
    event_time: Sent[TimeOrText] = field(name="E")
    """Milliseconds since 1970-01-01 UTC. The exchange sends text here."""
    listen_key: Sent[str] = field(name="listenKey")

    def _fields(self) -> Iterator[tuple[str, object]]:
        for name, value in super()._fields():
            yield name, _make_fingerprint(value) if name == "listen_key" and isinstance(value, str) else value

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The fingerprint of the key; without a key the event time."""
        return (self.event_time if self.listen_key is None else _make_fingerprint(self.listen_key),)


class EventStreamTerminated(TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="eventStreamTerminated"):
    """The subscription ended: its token expired, or the client gave it up (``eventStreamTerminated``)."""

    event_type: Literal["eventStreamTerminated"] = local_field("event_type", "eventStreamTerminated")

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The event time."""
        return (self.event_time,)


class ServerShutdown(TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="serverShutdown"):
    """The server is about to shut down: connect anew at once (``serverShutdown``). It concerns no one account."""

    event_type: Literal["serverShutdown"] = local_field("event_type", "serverShutdown")

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The event time."""
        return (self.event_time,)


class MarginLevelStatusChange(TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="MARGIN_LEVEL_STATUS_CHANGE"):
    """The margin level came into another range, such as a margin call; both spellings of its name occur."""

    event_type: Literal["MARGIN_LEVEL_STATUS_CHANGE", "marginLevelStatusChange"] = local_field(
        "event_type", "MARGIN_LEVEL_STATUS_CHANGE"
    )
    margin_level: Sent[Money] = field(name="l")
    status: Sent[Annotated[str, MarginLevelStatus]] = field(name="s")

    @property
    def summary(self) -> str:
        """The level and its range."""
        return f"margin level {format_value(self.margin_level)}: {format_value(self.status)}"

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The status, the level, and the event time."""
        return self.status, self.margin_level, self.event_time


class UserLiabilityChange(TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="USER_LIABILITY_CHANGE"):
    """Something was borrowed or repaid, or interest was charged; both spellings of its name occur.

    The exchange does not document whether `principal` and `interest` are changes or totals: do not add them up.
    """

    event_type: Literal["USER_LIABILITY_CHANGE", "userLiabilityChange"] = local_field(
        "event_type", "USER_LIABILITY_CHANGE"
    )
    asset: Sent[str] = field(name="a")
    liability_type: Sent[str] = field(name="t")
    """Such as ``BORROW``."""
    principal: Sent[Money] = field(name="p")
    interest: Sent[Money] = field(name="i")

    is_repeatable: ClassVar[bool] = True

    @property
    def summary(self) -> str:
        """What kind of change, and the two amounts."""
        amounts = f"principal {format_value(self.principal)}, interest {format_value(self.interest)}"
        return f"{format_value(self.liability_type)} {format_value(self.asset)}: {amounts}"

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The asset, the type, both amounts, and the event time."""
        return self.asset, self.liability_type, self.principal, self.interest, self.event_time


class UnknownEvent(Event, frozen=True, kw_only=True):
    """An event that this version has no class for, since the exchange adds some every year; or one that it cannot read.

    `problems` names what could not be read of an event whose class is known; a `StreamGap` follows such an event.
    """

    event_type: str = local_field("event_type", "")
    """The exchange's name for this kind of event; empty where it is not text."""

    is_repeatable: ClassVar[bool] = True

    @property
    def payload(self) -> dict[str, JsonValue]:
        """The event as it came, under wire names. Fractional numbers are `Decimal`, with all their digits."""
        return ({"e": self.event_type} if self.event_type else {}) | dict(self.extra)

    @property
    def event_time(self) -> int | None:
        """Milliseconds since 1970-01-01 UTC, where the event has an integer ``E``; else None."""
        time = self.extra.get("E")
        return time if isinstance(time, int) and not isinstance(time, bool) else None

    @property
    def summary(self) -> str:
        """The name of the event, and what could not be read of it."""
        unreadable = f", cannot read {', '.join(self.problems)}" if self.problems else ""
        return f"unknown event {self.event_type}{unreadable}"

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The name of the event, and its time."""
        return self.event_type, self.event_time


_KnownAccountEvent: TypeAlias = (
    ExecutionReport
    | OutboundAccountPosition
    | BalanceUpdate
    | ExternalLockUpdate
    | ListStatus
    | MarginLevelStatusChange
    | UserLiabilityChange
)

ControlEvent: TypeAlias = ListenKeyExpired | EventStreamTerminated | ServerShutdown
"""Every class of event about the stream itself, which the stream handles and does not deliver."""

KnownEvent: TypeAlias = _KnownAccountEvent | ControlEvent
"""Every event that has a class of its own."""

AccountEvent: TypeAlias = _KnownAccountEvent | UnknownEvent
"""Every class of event that a stream delivers."""

AnyEvent: TypeAlias = KnownEvent | UnknownEvent
"""Every class of event."""

AnyItem: TypeAlias = AccountEvent | StreamGap | AccountLost
"""Every class of item that a stream delivers: a ``match`` that names them all can end in `assert_never`."""


def _make_fingerprint(secret: str) -> str:
    """A text that tells one secret from another and gives none away; of a fingerprint, the fingerprint itself."""
    if secret.startswith(_FINGERPRINT_PREFIX):
        return secret
    return _FINGERPRINT_PREFIX + hashlib.sha256(secret.encode(errors="backslashreplace")).hexdigest()[:16]
