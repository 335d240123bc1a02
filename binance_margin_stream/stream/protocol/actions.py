"""The actions that the state machine requests from its driver, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.failures import Failure
from binance_margin_stream.stream.sources import ApiCall, Source
from binance_margin_stream.stream.state import StatusChange

__all__ = [
    "Action",
    "CloseConnection",
    "OpenConnection",
    "RestRequest",
    "SendPing",
    "SendText",
    "Terminate",
]


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Open a WebSocket for a source. Report `on_open`, or `on_close` with the failure."""

    connection_id: int
    source: Source


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close a WebSocket, or stop opening it. Nothing is to be reported."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text frame. It may contain a secret."""

    connection_id: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping frame. Report `on_pong` when its pong arrives."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class RestRequest:
    """Make a REST call. Report `on_credential`, `on_keepalive_ok` or `on_request_failed`."""

    id: int
    account: Account
    source: Source
    call: ApiCall


@dataclass(frozen=True, slots=True)
class Terminate:
    """The stream has failed. Raise this out of the iteration once the consumer has taken all items."""

    failure: Failure


Action: TypeAlias = OpenConnection | CloseConnection | SendText | SendPing | RestRequest | Terminate | StatusChange
"""Something that the driver of the state machine has to do."""
