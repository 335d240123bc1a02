"""Access to a running exchange from any thread."""

from __future__ import annotations

from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.messages import LoggedRequest
from binance_margin_stream.sandbox.model.metrics import Metrics, RestCall
from binance_margin_stream.sandbox.model.users import User
from binance_margin_stream.sandbox.server.thread import ServerThread

__all__ = ["ExchangeHandle"]


class ExchangeHandle:
    """An exchange and the thread that it runs in; every call returns when it has taken effect."""

    def __init__(self, exchange: Exchange, server_thread: ServerThread, user: User) -> None:
        """`user` is the one whose account a call without an API key refers to."""
        self._exchange = exchange
        self._server_thread = server_thread
        self._user = user

    @property
    def now(self) -> int:
        """Exchange time in milliseconds."""
        return self._server_thread.call(lambda now: now)

    @property
    def metrics(self) -> Metrics:
        """Counters since the start: requests, connections, events and faults."""
        return self._server_thread.read(self._exchange.metrics)

    @property
    def rest_log(self) -> list[RestCall]:
        """The last REST calls, oldest first, without their parameters."""
        return self._server_thread.read(self._exchange.rest_log)

    @property
    def request_log(self) -> list[LoggedRequest]:
        """The last 200 requests, oldest first: REST calls, handshakes and messages of WebSocket connections."""
        return self._server_thread.read(self._exchange.request_log)

    @property
    def users(self) -> list[User]:
        """All users, oldest first."""
        return self._server_thread.read(self._exchange.users)

    def _find_uid(self, api_key: str | None) -> int:
        return self._user.uid if api_key is None else self._exchange.get_user(api_key).uid
