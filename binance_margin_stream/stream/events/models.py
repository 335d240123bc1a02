"""All events of a margin account, as the exchange documents them, under full names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from binance_margin_stream.stream.accounts import CROSS, NO_ACCOUNT, Account, isolated
from binance_margin_stream.stream.events.base import (
    AccountLost,
    Event,
    FrozenModel,
    GapReason,
    Identity,
    StreamGap,
    StreamItem,
    TimedEvent,
)
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.execution_report import ExecutionReport
from binance_margin_stream.stream.events.field_types import Integer, JsonValue, Money, Text, Time, to_datetime

__all__ = [
    "CROSS",
    "NO_ACCOUNT",
    "Account",
    "AccountLost",
    "AccountPositionBalance",
    "BalanceUpdate",
    "Event",
    "EventStreamTerminated",
    "ExecutionReport",
    "ExternalLockUpdate",
    "GapReason",
    "Identity",
    "ListStatus",
    "ListStatusOrder",
    "ListenKeyExpired",
    "MalformedFrameError",
    "MarginLevelStatus",
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

MarginLevelStatus: TypeAlias = (
    Literal["EXCESSIVE", "NORMAL", "MARGIN_CALL", "PRE_LIQUIDATION", "FORCE_LIQUIDATION"] | str
)

_FINGERPRINT_PREFIX = "sha256:"


class AccountPositionBalance(FrozenModel, frozen=True):
    """What an account holds of one asset."""

    asset: Annotated[str, Text] = Field(validation_alias="a")
    free: Money = Field(validation_alias="f")
    locked: Money = Field(validation_alias="l")


class OutboundAccountPosition(TimedEvent, frozen=True):
    """Balances after a change (``outboundAccountPosition``): only of the assets that may have changed."""

    event_type: Literal["outboundAccountPosition"] = Field("outboundAccountPosition", validation_alias="e")
    last_account_update_time: Time = Field(validation_alias="u")
    """Milliseconds since 1970-01-01 UTC."""
    balances: tuple[AccountPositionBalance, ...] = Field(validation_alias="B")

    @property
    def last_account_update_datetime(self) -> datetime:
        """`last_account_update_time`, in UTC."""
        return to_datetime(self.last_account_update_time)


class _BalanceChange(TimedEvent, frozen=True):
    asset: Annotated[str, Text] = Field(validation_alias="a")
    delta: Money = Field(validation_alias="d")
    """What was added; negative for what was taken away."""
    clear_time: Time = Field(validation_alias="T")
    """Milliseconds since 1970-01-01 UTC."""

    @property
    def clear_datetime(self) -> datetime:
        """`clear_time`, in UTC."""
        return to_datetime(self.clear_time)


class BalanceUpdate(_BalanceChange, frozen=True):
    """A balance changed without a trade: a deposit, a withdrawal, a transfer (``balanceUpdate``)."""

    event_type: Literal["balanceUpdate"] = Field("balanceUpdate", validation_alias="e")


class ExternalLockUpdate(_BalanceChange, frozen=True):
    """Part of a balance was locked or released by another system (``externalLockUpdate``)."""

    event_type: Literal["externalLockUpdate"] = Field("externalLockUpdate", validation_alias="e")


class ListStatusOrder(FrozenModel, frozen=True):
    """One order of an order list."""

    symbol: Annotated[str, Text] = Field(validation_alias="s")
    order_id: Integer = Field(validation_alias="i")
    client_order_id: Annotated[str, Text] = Field(validation_alias="c")


class ListStatus(TimedEvent, frozen=True):
    """An order list, such as an OCO, changed (``listStatus``); each of its orders reports for itself, too."""

    event_type: Literal["listStatus"] = Field("listStatus", validation_alias="e")
    symbol: Annotated[str, Text] = Field(validation_alias="s")
    order_list_id: Integer = Field(validation_alias="g")
    contingency_type: Annotated[str, Text] = Field(validation_alias="c")
    list_status_type: Annotated[str, Text] = Field(validation_alias="l")
    list_order_status: Annotated[str, Text] = Field(validation_alias="L")
    list_reject_reason: Annotated[str, Text] = Field(validation_alias="r")
    list_client_order_id: Annotated[str, Text] = Field(validation_alias="C")
    transaction_time: Time = Field(validation_alias="T")
    """Milliseconds since 1970-01-01 UTC."""
    orders: tuple[ListStatusOrder, ...] = Field(validation_alias="O")

    @property
    def transaction_datetime(self) -> datetime:
        """`transaction_time`, in UTC."""
        return to_datetime(self.transaction_time)


class ListenKeyExpired(TimedEvent, frozen=True):
    """The listen key ended; nothing follows until a new one is used (``listenKeyExpired``).

    `listen_key` is a bearer secret. It is there as an attribute only: the repr, `to_dict`, `to_json` and
    `identity` hold its fingerprint, so an event that is read back has the fingerprint in its place.
    """

    event_type: Literal["listenKeyExpired"] = Field("listenKeyExpired", validation_alias="e")
    listen_key: Annotated[str, Text] = Field(validation_alias="listenKey")

    def _fields(self) -> Iterator[tuple[str, object]]:
        for name, value in super()._fields():
            yield name, _make_fingerprint(self.listen_key) if name == "listen_key" else value


class EventStreamTerminated(TimedEvent, frozen=True):
    """The subscription ended: its token expired, or the client gave it up (``eventStreamTerminated``)."""

    event_type: Literal["eventStreamTerminated"] = Field("eventStreamTerminated", validation_alias="e")


class ServerShutdown(TimedEvent, frozen=True):
    """The server is about to shut down: connect anew at once (``serverShutdown``). It concerns no one account."""

    event_type: Literal["serverShutdown"] = Field("serverShutdown", validation_alias="e")


class MarginLevelStatusChange(TimedEvent, frozen=True):
    """The margin level came into another range, such as a margin call; both spellings of its name occur."""

    event_type: Literal["MARGIN_LEVEL_STATUS_CHANGE", "marginLevelStatusChange"] = Field(
        "MARGIN_LEVEL_STATUS_CHANGE", validation_alias="e"
    )
    margin_level: Money = Field(validation_alias="l")
    status: Annotated[MarginLevelStatus, Text] = Field(validation_alias="s")


class UserLiabilityChange(TimedEvent, frozen=True):
    """Something was borrowed or repaid, or interest was charged; both spellings of its name occur."""

    event_type: Literal["USER_LIABILITY_CHANGE", "userLiabilityChange"] = Field(
        "USER_LIABILITY_CHANGE", validation_alias="e"
    )
    asset: Annotated[str, Text] = Field(validation_alias="a")
    liability_type: Annotated[Literal["BORROW"] | str, Text] = Field(validation_alias="t")
    principal: Money = Field(validation_alias="p")
    interest: Money = Field(validation_alias="i")


class UnknownEvent(Event, frozen=True):
    """An event that this version has no class for: the exchange adds some every year."""

    event_type: Annotated[str, Text] = Field(validation_alias="e")

    @property
    def payload(self) -> dict[str, JsonValue]:
        """The event as it came, under wire names. Fractional numbers are `Decimal`, with all their digits."""
        return {"e": self.event_type, **self.extra}

    @property
    def event_time(self) -> int | None:
        """Milliseconds since 1970-01-01 UTC, where the event has an integer ``E``; else None."""
        time = self.extra.get("E")
        return time if isinstance(time, int) else None


def _make_fingerprint(secret: str) -> str:
    """A text that tells one secret from another and gives none away; of a fingerprint, the fingerprint itself."""
    if secret.startswith(_FINGERPRINT_PREFIX):
        return secret
    return _FINGERPRINT_PREFIX + hashlib.sha256(secret.encode(errors="backslashreplace")).hexdigest()[:16]
