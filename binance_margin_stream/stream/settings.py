"""The settings of a stream: deadlines, rates and sizes, with the reason for each default."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from binance_margin_stream.stream.limits import HOUR, MINUTE, ProtocolLimits, scale_fields

__all__ = ["StreamSettings", "get_limits", "with_limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """Deadlines, rates and sizes of a stream. Times are in seconds, rates per second.

    Where the exchange documents a limit, the default stays well below it, because other programs with the same
    API key or IP address share that limit.
    """

    token_validity: float = 24 * HOUR
    """The requested lifetime of a listen token. 24 hours is the exchange's maximum and its default."""
    health_check_interval: float = 45.0
    """How often a listen key is kept alive. This also detects a deleted key, which the exchange does not report."""

    connection_max_age: float = 23 * HOUR
    """The age at which a connection is replaced. The exchange closes it after 24 hours."""
    connection_age_jitter: float = HOUR
    """The most by which a connection is replaced earlier than `connection_max_age`."""
    idle_timeout: float = 45.0
    """How long a connection may be silent until it is pinged. Without a pong within `request_timeout` it is frozen."""
    latency_allowance: float = 5.0
    """The longest time that a frame may take to arrive. A gap starts this long before the last frame."""
    open_timeout: float = 10.0
    """The timeout for name resolution, TCP, TLS and the WebSocket handshake together."""
    request_timeout: float = 10.0
    """The timeout for the response to a request on a connection, and for a pong."""

    backoff_initial: float = 0.5
    """The longest wait before the first retry."""
    backoff_max: float = 30.0
    """The longest wait before any retry."""
    connect_limit: int = 60
    """The most connection attempts in `connect_window`. The exchange allows 300 in five minutes per IP address."""
    connect_window: float = 5 * MINUTE
    """The period in which connection attempts are counted."""
    rest_rate: float = 25.0
    """REST calls per second. The exchange allows 12 000 per minute for each call that a stream uses."""

    accounts_per_connection: int = 1000
    """The most accounts on one connection: the exchange's limit of active subscriptions."""
    buffer_size: int = 10_000
    """The most items that wait for the consumer. When the buffer is full, the oldest item is dropped."""

    _limits: ProtocolLimits = field(default=ProtocolLimits(), repr=False)

    def scaled(self, factor: float) -> StreamSettings:
        """These settings for an exchange whose time runs `factor` times as fast, such as ``Sandbox(speed=1440)``.

        Timeouts that depend on this machine or the network keep at least a second or two. Waits that the exchange
        states after 429 and 418 are in real seconds, and so are the times of gaps: test both at speed 1.
        """
        scaled = scale_fields(self, factor)
        scaled["_limits"] = self._limits.scaled(factor)
        return StreamSettings(**scaled)


def get_limits(settings: StreamSettings) -> ProtocolLimits:
    """The limits behind the settings. Not part of the public interface."""
    return settings._limits


def with_limits(settings: StreamSettings, **changes: float) -> StreamSettings:
    """The same settings with other limits, for tests. Not part of the public interface."""
    limits: Any = changes
    return replace(settings, _limits=replace(settings._limits, **limits))
