"""The public values that describe a stream: its state, its status changes, and why events may be missing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

from binance_margin_stream.stream.accounts import Account

__all__ = ["GapReason", "ScheduledAction", "Severity", "State", "StatusChange", "StatusChangeKind"]


class State(Enum):
    """The state of a stream."""

    CONNECTING = "connecting"
    """At least one account has not been live yet."""
    LIVE = "live"
    """Every account is subscribed on a connection that is known to work."""
    RECOVERING = "recovering"
    """At least one account lost its subscription. If events were missed, a gap follows."""
    CLOSED = "closed"
    """Closed on request."""
    FAILED = "failed"
    """Ended by a failure that cannot be retried."""


class GapReason(StrEnum):
    """Why events may be missing. These are the values of `StreamGap.reason` that this version emits."""

    DISCONNECTED = "disconnected"
    """The connection was lost."""
    FROZEN = "frozen"
    """The connection was open, but silent, and left a ping unanswered."""
    CREDENTIAL_EXPIRED = "expired"
    """The exchange reported that the listen key has expired."""
    CREDENTIAL_GONE = "credential gone"
    """The exchange no longer knows the listen key, for example because it was deleted."""
    SUBSCRIPTION_TERMINATED = "terminated"
    """The exchange ended the subscription, or no longer lists it."""
    MALFORMED_FRAME = "malformed frame"
    """A frame could not be decoded; it may have been an event."""
    ACCOUNT_LOST = "account lost"
    """The exchange no longer serves the account. An `AccountLost` follows."""
    SLOW_CONSUMER = "slow consumer"
    """The buffer was full, and the oldest events were dropped."""
    AUDIT = "audit"
    """The account at the exchange is not what the events say, although the connection seems to work."""
    RESTART = "restart"
    """The stream was not running; it recovers what happened since a checkpoint or a given time."""


class Severity(IntEnum):
    """The importance of a status change: the level of its log record."""

    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARNING = logging.WARNING
    ERROR = logging.ERROR


class StatusChangeKind(StrEnum):
    """What changed about a stream."""

    CONNECTED = "connected"
    """A connection is open."""
    CONNECTION_LOST = "connection lost"
    """A connection was lost, or could not be opened."""
    REPLACING_CONNECTION = "replacing connection"
    """A connection takes no more subscriptions; its accounts move to another one."""
    CONNECTION_REPLACED = "connection replaced"
    """A connection was closed after its accounts had moved."""
    SUBSCRIBED = "subscribed"
    """An account is subscribed for the first time."""
    SUBSCRIBE_FAILED = "subscribe failed"
    """The exchange refused a subscription; it is requested again after a backoff."""
    SUBSCRIPTION_LOST = "subscription lost"
    """An account has no subscription any more."""
    RECOVERED = "recovered"
    """An account that lost its subscription is subscribed again."""
    GAP = "gap"
    """Events may be missing. A `StreamGap` with the same times is in the stream."""
    RENEWED = "renewed"
    """A credential or a subscription was renewed."""
    RENEWAL_FAILED = "renewal failed"
    """A credential or a subscription could not be renewed; it is tried again after a backoff."""
    RENEWAL_NOT_SUPPORTED = "renewal not supported"
    """The exchange does not renew an active subscription; its connection is replaced before the credential expires."""
    CREDENTIAL_REQUEST_FAILED = "credential request failed"
    """A listen key or a listen token could not be created; it is tried again after a backoff."""
    REQUEST_TIMED_OUT = "request timed out"
    """A request on a connection had no response in time."""
    SOURCE_RETIRED = "source retired"
    """The exchange no longer serves a source, and an account moves to the next one."""
    SOURCE_CHANGED = "source changed"
    """A source withheld events of an account repeatedly, and the account moves to the next one."""
    RECOVERY_DISABLED = "recovery disabled"
    """The API key may not read the account: nothing is recovered after a gap."""
    ACCOUNT_LOST = "account lost"
    """The stream no longer follows an account. An `AccountLost` is in the stream; other accounts go on."""
    ACCOUNT_REMOVED = "account removed"
    """An account was removed on request."""
    RATE_LIMITED = "rate limited"
    """The exchange reported too many requests; nothing is sent for a while."""
    BANNED = "banned"
    """The exchange banned this IP address; nothing is sent for a while."""
    FIREWALL_BLOCKED = "blocked by a firewall"
    """A firewall refused a request; nothing is sent for a while."""
    LIVE = "live"
    """The stream entered `State.LIVE`."""
    RECOVERING = "recovering"
    """The stream entered `State.RECOVERING`."""
    CLOSED = "closed"
    """The stream entered `State.CLOSED`."""
    FAILED = "failed"
    """The stream entered `State.FAILED`."""
    STOPPED = "stopped"
    """The stream stopped because of a failure, which the detail describes."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A status change of a stream, for callbacks and log records. Holds no secret."""

    kind: StatusChangeKind
    severity: Severity
    account: Account | None = None
    """The account that is concerned; None if it is a connection or the stream as a whole."""
    detail: str = ""


class ScheduledAction(StrEnum):
    """What a timer of the stream does when it is due. `Health.next_action` is the one that is due first."""

    CONNECT = "connect"
    CHECK_LIVENESS = "check that a connection is alive"
    SEND_PING = "send a ping"
    PONG_TIMEOUT = "check for a pong that is due"
    REPLACE_CONNECTION = "replace a connection"
    SUBSCRIBE = "subscribe"
    JOIN_TIMEOUT = "check that every account could be subscribed"
    MOVE_ACCOUNT = "move an account to another connection"
    END_OVERLAP = "end a rotation"
    SEND_REQUEST = "send a request"
    REQUEST_TIMEOUT = "check for a response that is due"
    SEND_CALL = "send a REST call"
    RETRY_CALL = "retry a REST call"
    RENEW = "renew a credential"
    CHECK_EXPIRY = "check whether a credential has expired"
