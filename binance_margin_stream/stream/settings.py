"""Every number that the stream keeps to, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

__all__ = ["StreamSettings"]

MINUTE = 60.0
HOUR = 60 * MINUTE

_UNSCALED = frozenset({"renewal_fraction", "renewal_jitter", "replacement_fraction", "exchange_speed"})
_RATES = frozenset({"rest_rate", "message_rate_factor"})
_FLOORS = {
    "expiry_grace": 1.0,
    "idle_timeout": 2.0,
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
class StreamSettings:
    """The stream's deadlines, limits and paces. Times are in seconds, rates per second.

    Where the exchange documents a limit, the value here stays well inside it: the limit is shared with
    everything else that runs under the same key or address.
    """

    exchange_speed: float = 1.0
    """How many times as fast as real time the exchange's runs; only a sandbox's is anything but 1."""
    token_validity: float = 24 * HOUR
    """How long a listen token is asked to live; 24 hours is the exchange's most and its default."""
    key_validity: float = HOUR
    """How long a listen key lives after its last keepalive, by the exchange's documentation."""
    renewal_fraction: float = 0.5
    """The part of a credential's life after which it is renewed."""
    renewal_jitter: float = 0.1
    """How far renewals are spread to either side of `renewal_fraction`, so that a thousand never come at once."""
    health_check_interval: float = 45.0
    """How often a listen key is shown to be alive: a deleted key goes quiet without a word."""
    health_check_spacing: float = 2.0
    """The least time between two such proofs, so that many keys do not become many requests."""
    expiry_grace: float = 5.0
    """How long after an expiry the exchange may take to say so."""
    replacement_fraction: float = 0.2
    """The part of a token's life that must remain when a subscription that cannot be extended moves on."""

    connection_max_age: float = 23 * HOUR
    """When a connection is replaced; the exchange cuts it after 24 hours."""
    connection_age_jitter: float = HOUR
    """How much earlier than `connection_max_age` it may happen."""
    idle_timeout: float = 45.0
    """A connection on which nothing, not even a ping, came for this long is frozen; pings come every 20 s."""
    latency_allowance: float = 5.0
    """What has arrived left the exchange at most this long ago: how far back an unproven connection is trusted."""
    open_timeout: float = 10.0
    """How long name resolution, TCP, TLS and the WebSocket handshake may take together."""
    request_timeout: float = 10.0
    """How long an answer to a request on a connection may take, and a pong."""
    overlap_window: float = 10.0
    """How long after a switch the new connection may still repeat what the old one delivered."""
    stable_after: float = MINUTE
    """A connection that lived this long was a success: the backoff starts again."""

    backoff_initial: float = 0.5
    """The most that the first repeat waits."""
    backoff_max: float = 30.0
    """The most that any repeat waits."""
    firewall_wait: float = MINUTE
    """How long to send nothing after a firewall's refusal."""
    not_found_timeout: float = 10.0
    """How long the calls of a way in must be not found (404) before it counts as retired; a 410 counts at once."""
    rate_limit_wait: float = MINUTE
    """How long to send nothing after a 429 that does not say how long: the limits are counted by the minute."""
    ban_wait: float = 2 * MINUTE
    """How long to send nothing after a 418 that does not say how long: the shortest ban is two minutes."""
    connect_limit: int = 60
    """The most connection attempts in `connect_window`; the exchange allows 300 from one address."""
    connect_window: float = 5 * MINUTE
    """The time in which attempts up to `connect_limit` are counted."""

    rest_rate: float = 25.0
    """REST calls a second; the exchange allows 12 000 a minute for each of those used here."""
    rest_concurrency: int = 8
    """REST calls under way at once."""
    message_rate_factor: float = 1.0
    """By how much the hosts' own paces for messages are multiplied."""
    max_unanswered_requests: int = 3
    """Requests that may stay unanswered in a row before the connection is replaced."""

    accounts_per_connection: int = 1000
    """Active subscriptions on one connection, the exchange's limit."""
    subscriptions_per_connection: int = 60_000
    """Subscriptions on one connection in its life; the exchange allows 65 535."""
    buffer_size: int = 10_000
    """Items that wait for the consumer; the oldest make room."""
    max_held_events: int = 10_000
    """Events of a new connection that wait until the old one is known to be complete, for one account."""
    max_unrouted_events: int = 1_000
    """Events on one connection that wait for the answer that says whose they are."""

    def scaled(self, factor: float) -> StreamSettings:
        """These rules for an exchange whose time runs `factor` times as fast, such as ``Sandbox(speed=1440)``.

        What waits for this machine or the network keeps a second or two. Waits that the exchange tells, after
        429 and 418, are taken for real seconds, and gaps are in real time: try limits, and the times of gaps, at
        speed 1.
        """
        changed = {"exchange_speed": self.exchange_speed * factor}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _RATES:
                changed[field.name] = value * factor
            elif isinstance(value, float) and field.name not in _UNSCALED:
                changed[field.name] = max(value / factor, min(value, _FLOORS.get(field.name, 0.0)))
        return replace(self, **changed)  # type: ignore[arg-type]  # each by the name of its field
