"""What `doctor` found out, as values: no judgement yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Answer", "Cause", "Facts", "Host", "Key"]


class Cause(Enum):
    """How an attempt ended."""

    FINE = "fine"
    NO_NAME = "no such name"
    REFUSED = "connection refused"
    NO_ROUTE = "no connection"
    NO_TLS = "no trusted TLS"
    TIMED_OUT = "no answer in time"
    CUT_OFF = "cut off"
    PROXY = "no way through the proxy"
    STRANGE = "not the exchange's answer"
    SILENT = "connected, then silent"
    RETIRED = "retired"
    NOT_FOUND = "not found"
    KEY_FORMAT = "key ill-formed"
    KEY_UNKNOWN = "key rejected"
    SIGNATURE = "signature rejected"
    CLOCK = "timestamp rejected"
    BLOCKED = "blocked"
    COUNTRY = "country refused"
    LIMITED = "too many requests"
    BANNED = "banned"
    FAILING = "the exchange fails"
    REJECTED = "refused"

    @property
    def demands_silence(self) -> bool:
        """Whether any further request would make it worse."""
        return self in (Cause.LIMITED, Cause.BANNED, Cause.BLOCKED, Cause.COUNTRY)


@dataclass(frozen=True, slots=True)
class Key:
    """The API key of this machine, without the key."""

    length: int = 0
    """Characters; 0 where there is no key."""
    signs: bool = False
    problem: str = ""
    """Why there is none, or why it cannot be one."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host and port that everything goes to, or a proxy."""

    address: str
    """Such as ``api.binance.com:443``."""
    cause: Cause = Cause.FINE
    detail: str = ""
    certificate_days: int | None = None
    """How long its certificate is still good, None without TLS."""
    is_proxy: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call, or a subscription on a WebSocket, ended."""

    way: str
    """The way in: ``token``, ``listen-key-v2``, ``risk`` or ``listen-key``."""
    cause: Cause
    detail: str = ""
    """What the exchange or the network said, on one line, without secrets."""
    seconds: float = 0.0
    """How long it took."""
    wait: float | None = None
    """For how many seconds the exchange wants nothing sent, None where it did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was found out."""

    exchange: str
    key: Key
    hosts: tuple[Host, ...] = ()
    calls: tuple[Answer, ...] = ()
    """REST calls, as far as they were made."""
    sockets: tuple[Answer, ...] = ()
    """Subscriptions, as far as they were tried."""
    clock_offset: float | None = None
    """By how many seconds the exchange's clock is ahead of this one, None where it did not tell."""
    used: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The weight used this minute and the limit, by whom it is counted for: ``IP`` or ``UID``."""
