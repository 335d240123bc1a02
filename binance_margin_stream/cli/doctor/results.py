"""What `doctor` found out, as values: no judgement yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["HostCheck", "KeyCheck", "ProbeReport", "ProbeResult", "ProbeStatus"]


class ProbeStatus(Enum):
    """How an attempt ended."""

    OK = "fine"
    DNS_FAILED = "no such name"
    CONNECTION_REFUSED = "connection refused"
    CONNECT_FAILED = "no connection"
    TLS_FAILED = "no trusted TLS"
    TIMED_OUT = "no answer in time"
    DISCONNECTED = "cut off"
    PROXY_FAILED = "no way through the proxy"
    INVALID_RESPONSE = "not the exchange's answer"
    NO_RESPONSE = "connected, then silent"
    RETIRED = "retired"
    NOT_FOUND = "not found"
    KEY_MALFORMED = "key ill-formed"
    KEY_REJECTED = "key rejected"
    SIGNATURE_REJECTED = "signature rejected"
    TIMESTAMP_REJECTED = "timestamp rejected"
    BLOCKED = "blocked"
    COUNTRY_BLOCKED = "country refused"
    RATE_LIMITED = "too many requests"
    BANNED = "banned"
    SERVER_ERROR = "the exchange fails"
    REQUEST_REJECTED = "refused"

    @property
    def requires_backoff(self) -> bool:
        """Whether any further request would make it worse."""
        return self in (ProbeStatus.RATE_LIMITED, ProbeStatus.BANNED, ProbeStatus.BLOCKED, ProbeStatus.COUNTRY_BLOCKED)


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """The API key of this machine, without the key."""

    length: int = 0
    """Characters; 0 where there is no key."""
    can_sign: bool = False
    problem: str = ""
    """Why there is none, or why it cannot be one."""


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One host and port that everything goes to, or a proxy."""

    address: str
    """Such as ``api.binance.com:443``."""
    status: ProbeStatus = ProbeStatus.OK
    detail: str = ""
    certificate_days: int | None = None
    """How long its certificate is still good, None without TLS."""
    is_proxy: bool = False


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a call, or a subscription on a WebSocket, ended."""

    source: str
    """The way in: ``token``, ``listen-key-v2``, ``risk`` or ``listen-key``."""
    status: ProbeStatus
    detail: str = ""
    """What the exchange or the network said, on one line, without secrets."""
    elapsed: float = 0.0
    """How long it took."""
    retry_after: float | None = None
    """For how many seconds the exchange wants nothing sent, None where it did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """Everything that was found out."""

    target: str
    key: KeyCheck
    hosts: tuple[HostCheck, ...] = ()
    rest_results: tuple[ProbeResult, ...] = ()
    """REST calls, as far as they were made."""
    websocket_results: tuple[ProbeResult, ...] = ()
    """Subscriptions, as far as they were tried."""
    clock_offset: float | None = None
    """By how many seconds the exchange's clock is ahead of this one, None where it did not tell."""
    used_weights: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The weight used this minute and the limit, by whom it is counted for: ``IP`` or ``UID``."""
