"""The limits and timings of the protocol that no user has to set. They are not part of the public interface."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

__all__ = ["HOUR", "MINUTE", "ProtocolLimits", "scale_fields"]

MINUTE = 60.0
HOUR = 60 * MINUTE

_UNSCALED = frozenset({"renewal_fraction", "renewal_jitter", "replacement_fraction"})
_RATES = frozenset({"exchange_speed", "rest_rate", "message_rate_factor"})
_FLOORS = {
    "expiry_grace": 1.0,
    "idle_timeout": 2.0,
    "ping_interval": 1.0,
    "latency_allowance": 1.0,
    "open_timeout": 2.0,
    "request_timeout": 2.0,
    "overlap_window": 1.0,
    "stable_after": 1.0,
    "backoff_initial": 0.1,
    "backoff_max": 1.0,
}
"""Seconds that machine and network need, however fast the exchange's time runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolLimits:
    """Limits and timings of the protocol. Times are in seconds, rates per second."""

    exchange_speed: float = 1.0
    """How many times as fast as real time the exchange's time runs. Only a sandbox's differs from 1."""
    key_validity: float = HOUR
    """The lifetime of a listen key after its last keepalive, as the exchange documents it."""
    renewal_fraction: float = 0.5
    """The fraction of a credential's lifetime after which it is renewed."""
    renewal_jitter: float = 0.1
    """The most that is added to or taken from `renewal_fraction`, so that many renewals do not coincide."""
    health_check_spacing: float = 2.0
    """The shortest time between the keepalives of two listen keys, so that many keys do not cause a burst."""
    expiry_grace: float = 5.0
    """How long after an expiry the exchange may take to report it."""
    replacement_fraction: float = 0.2
    """The fraction of a token's lifetime that is left when a connection is replaced because the exchange does not
    renew an active subscription."""

    overlap_window: float = 10.0
    """How long after a switch the new connection may repeat events that the old connection delivered."""
    ping_interval: float = 20.0
    """How often a connection is pinged. A pong proves that everything that was sent before the ping has arrived."""
    stable_after: float = MINUTE
    """A connection that was open for this long counts as a success: its backoff starts again."""

    firewall_wait: float = MINUTE
    """How long nothing is sent after a firewall refused a request."""
    not_found_timeout: float = 10.0
    """How long the calls of a source must be not found (404) until it counts as retired. A 410 counts at once."""
    rate_limit_wait: float = MINUTE
    """How long nothing is sent after a 429 without a time: the exchange counts its limits by the minute."""
    ban_wait: float = 2 * MINUTE
    """How long nothing is sent after a 418 without a time: the shortest ban is two minutes."""

    rest_concurrency: int = 8
    """The most REST calls in flight."""
    message_rate_factor: float = 1.0
    """A factor for the message rates of the hosts."""
    max_unanswered_requests: int = 3
    """How many requests in a row may time out until the connection is replaced."""
    subscriptions_per_connection: int = 60_000
    """The most subscriptions on one connection in its lifetime. The exchange allows 65 535."""

    max_held_events: int = 10_000
    """The most events of a new connection, per account, that wait until the old connection is complete."""
    max_unrouted_events: int = 1_000
    """The most events, per connection, that wait for the response that states which subscription they belong to."""

    def scaled(self, factor: float) -> ProtocolLimits:
        """These limits for an exchange whose time runs `factor` times as fast."""
        return ProtocolLimits(**scale_fields(self, factor))


def scale_fields(settings: Any, factor: float) -> dict[str, Any]:
    """The fields of a settings dataclass, with times divided by `factor` and rates multiplied by it."""
    scaled: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in _RATES:
            value *= factor
        elif isinstance(value, float) and field.name not in _UNSCALED:
            value = max(value / factor, min(value, _FLOORS.get(field.name, 0.0)))
        scaled[field.name] = value
    return scaled
