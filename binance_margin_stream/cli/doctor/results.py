"""The results of the probes of `doctor`, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from binance_margin_stream.error_codes import ErrorKind

__all__ = ["STATUS_BY_KIND", "HostCheck", "KeyCheck", "ProbeReport", "ProbeResult", "ProbeStatus"]


class ProbeStatus(Enum):
    """How a probe ended."""

    OK = "ok"
    DNS_FAILED = "name not resolved"
    CONNECTION_REFUSED = "connection refused"
    CONNECT_FAILED = "no connection"
    TLS_FAILED = "TLS failed"
    TIMED_OUT = "no response in time"
    DISCONNECTED = "disconnected"
    PROXY_FAILED = "proxy failed"
    PROXY_INVALID = "the proxy cannot be used"
    PROXY_REFUSED = "the proxy refuses the connection"
    INVALID_RESPONSE = "unexpected response"
    NO_RESPONSE = "connected, but no response"
    RETIRED = "retired"
    NOT_FOUND = "not found"
    KEY_MALFORMED = "key malformed"
    KEY_REJECTED = "key rejected"
    SIGNATURE_REJECTED = "signature rejected"
    TIMESTAMP_REJECTED = "timestamp rejected"
    BLOCKED = "blocked"
    COUNTRY_BLOCKED = "country blocked"
    RATE_LIMITED = "too many requests"
    BANNED = "banned"
    SERVER_ERROR = "server error"
    REQUEST_REJECTED = "refused"

    @property
    def requires_backoff(self) -> bool:
        """Whether further requests must wait: they would lead to a ban, or to a longer one."""
        return self in (ProbeStatus.RATE_LIMITED, ProbeStatus.BANNED, ProbeStatus.BLOCKED, ProbeStatus.COUNTRY_BLOCKED)


STATUS_BY_KIND: dict[ErrorKind, ProbeStatus] = {
    ErrorKind.RATE_LIMITED: ProbeStatus.RATE_LIMITED,
    ErrorKind.BANNED: ProbeStatus.BANNED,
    ErrorKind.BLOCKED: ProbeStatus.BLOCKED,
    ErrorKind.COUNTRY_REFUSED: ProbeStatus.COUNTRY_BLOCKED,
    ErrorKind.KEY_REJECTED: ProbeStatus.KEY_REJECTED,
    ErrorKind.TIMESTAMP: ProbeStatus.TIMESTAMP_REJECTED,
    ErrorKind.RETIRED: ProbeStatus.RETIRED,
    ErrorKind.NOT_FOUND: ProbeStatus.NOT_FOUND,
    ErrorKind.SERVER_FAULT: ProbeStatus.SERVER_ERROR,
}
"""What an error response of the exchange means for `doctor`; any other kind is `ProbeStatus.REQUEST_REJECTED`."""


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """The API key of this machine, without the key itself."""

    length: int = 0
    """Number of characters; 0 if there is no key."""
    can_sign: bool = False
    problem: str = ""
    """Why there is no key, or why it is invalid."""
    is_secret_problem: bool = False
    """Whether the problem is one of the secret, not of the key."""
    has_usual_form: bool = True
    """Whether the key has the form of the exchange's keys: 64 letters and digits."""


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One host and port, or a proxy."""

    address: str
    """Such as ``api.binance.com:443``."""
    status: ProbeStatus = ProbeStatus.OK
    detail: str = ""
    certificate_days: int | None = None
    """For how many days its certificate is still valid, None without TLS."""
    proxy_variable: str = ""
    """If this is a proxy: the environment variable that sets it."""

    @property
    def is_proxy(self) -> bool:
        """Whether this is a proxy."""
        return bool(self.proxy_variable)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a REST call or a subscription ended."""

    source: str
    """The stream source: ``token``, ``listen-key-v2``, ``risk`` or ``listen-key``."""
    status: ProbeStatus
    detail: str = ""
    """The message of the exchange or the network, on one line, without secrets."""
    elapsed: float = 0.0
    """Seconds it took."""
    retry_after: float | None = None
    """For how many seconds the exchange demands that nothing is sent, None if it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """The results of all probes."""

    target: str
    key: KeyCheck
    hosts: tuple[HostCheck, ...] = ()
    rest_results: tuple[ProbeResult, ...] = ()
    """The REST calls that were made."""
    websocket_results: tuple[ProbeResult, ...] = ()
    """The subscriptions that were tried."""
    clock_offset: float | None = None
    """How many seconds the exchange's clock is ahead of this machine's, None if unknown."""
    used_weights: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The weight used this minute and its limit, by scope: ``IP`` or ``UID``."""
