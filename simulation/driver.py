"""Executes the actions of the state machine, as the engine does, but on the simulated network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import OpenApiException, TransportError
from binance_margin_stream.http.client import ApiClient
from binance_margin_stream.http.responses import HttpResponse, map_error
from binance_margin_stream.http.retry import NO_RETRIES
from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.api.handshakes import margin_stream_prefix
from binance_margin_stream.sandbox.faults import DeferredFault
from binance_margin_stream.sandbox.messages import Abort, Binary, Close, Frame, Ping, Request, Response, Text
from binance_margin_stream.stream.events.models import AccountEvent
from binance_margin_stream.stream.failures import Failure, FailureKind, classify_error, classify_status
from binance_margin_stream.stream.io.dispatcher import Dispatcher
from binance_margin_stream.stream.io.rest_calls import DEFAULT_TIMEOUT, RestResult, parse_credential
from binance_margin_stream.stream.protocol.actions import (
    Action,
    CloseConnection,
    OpenConnection,
    RestRequest,
    SendPing,
    SendText,
    Terminate,
)
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.sources import ApiCall
from binance_margin_stream.stream.state import StatusChange
from simulation.faults import ActiveFaults
from simulation.limit_checks import LimitChecker
from simulation.network import Network, SimulatedConnection, VirtualClock

__all__ = ["Driver", "make_endpoints"]

_HOST = "ws://exchange"
_REST_HOST = "http://exchange"


def make_endpoints(exchange_rules: ExchangeRules) -> Endpoints:
    """The endpoints of one host. The risk stream's has a path prefix if the rules separate the two stream hosts."""
    margin = _HOST + margin_stream_prefix(exchange_rules)
    v2 = _HOST if exchange_rules.listen_key_v2_host == "stream" else None
    return Endpoints(
        _REST_HOST, websocket_api=f"{_HOST}/ws-api/v3", stream=_HOST, margin_stream=margin, listen_key_v2=v2
    )


class _CompleteResponse:
    """The response of a call in the form that generated code expects."""

    def __init__(self, http_response: HttpResponse) -> None:
        self.http_response = http_response

    def read(self) -> None:
        """The body is complete already."""


class SimulatedClient(ApiClient):
    """The REST client of the product, with the simulated network in place of sockets."""

    def __init__(
        self, network: Network, clock: VirtualClock, endpoints: Endpoints, *, listen_tokens_are_signed: bool
    ) -> None:
        self._network = network
        self._clock = clock
        self._listen_tokens_are_signed = listen_tokens_are_signed
        self._signer = ApiKeyAuth(network.user.api_key, network.user.api_secret)
        self._fault: DeferredFault | None = None
        self._seconds = 0.0
        super().__init__(auth=ApiKeyAuth(network.user.api_key), endpoints=endpoints, retry=NO_RETRIES)

    def request(self, call: ApiCall, fault: DeferredFault | None) -> tuple[RestResult, float]:
        """Make a call that reaches the exchange now. Returns the result, and the seconds until it arrives."""
        self._fault = fault
        try:
            result: RestResult = parse_credential(getattr(call.make_api(self), call.operation)(**call.arguments))
        except OpenApiException as error:
            result = classify_error(error)
        return result, self._seconds

    def call_api(
        self,
        method: str,
        url: str,
        header_params: Any = None,
        body: Any = None,
        post_params: Any = None,
        _request_timeout: Any = None,
    ) -> Any:
        """Pass a request to the exchange. Raises an error for any response but 2xx, as the product does."""
        path = url.removeprefix(_REST_HOST)
        query = self._sign(path, _encode_query(post_params.parameters))
        request = Request(method, f"{path}?{query}", tuple(header_params.items()))
        response = self._network.call_rest(request, self._fault)
        self._seconds = self._network.sample_delay() + response.delay_ms / 1000
        if response.delivery == "never" or self._seconds > DEFAULT_TIMEOUT.read:
            self._seconds = DEFAULT_TIMEOUT.read
            raise TransportError("no response in time", kind="timeout")
        if response.delivery in ("truncated", "reset"):
            raise TransportError("the connection was closed", kind="disconnected")
        http_response = HttpResponse(response.status, dict(response.headers), response.body, method, path)
        if not 200 <= response.status < 300:
            raise map_error(http_response, datetime.fromtimestamp(self._clock.epoch_ms / 1000, UTC))
        return _CompleteResponse(http_response)

    def _sign(self, path: str, query: str) -> str:
        if not (self._listen_tokens_are_signed and path == "/sapi/v1/userListenToken"):
            return query
        stamped = "&".join(filter(None, (query, f"timestamp={self._clock.epoch_ms}")))
        return f"{stamped}&signature={self._signer.sign(stamped)}"


@lru_cache(64)
def _encode_query(parameters: tuple[tuple[str, str], ...]) -> str:
    return urlencode(parameters)


class Driver:
    """Executes actions, and reports the results to the state machine."""

    def __init__(
        self,
        lifecycle: Lifecycle[AccountEvent],
        network: Network,
        clock: VirtualClock,
        *,
        client: SimulatedClient,
        endpoints: Endpoints,
        active_faults: ActiveFaults,
        limit_checker: LimitChecker,
        open_timeout: float,
    ) -> None:
        self.failure: Failure | None = None
        """The failure that ended the stream."""
        self.on_change: Callable[[StatusChange], None] = lambda change: None
        self._lifecycle = lifecycle
        self._dispatcher = Dispatcher(lifecycle)
        self._network = network
        self._clock = clock
        self._client = client
        self._endpoints = endpoints
        self._active_faults = active_faults
        self._limit_checker = limit_checker
        self._open_timeout = open_timeout
        network.attach(self)

    def run_actions(self) -> None:
        """Execute all pending actions."""
        while self._lifecycle.actions:
            for action in self._lifecycle.pop_actions():
                self._execute(action)

    def _execute(self, action: Action) -> None:
        match action:
            case SendText(connection_id=number, text=text):
                self._limit_checker.check_send(f"a message on connection {number}")
                self._send_text(number, text)
            case SendPing(connection_id=number):
                self._active_faults.on_trigger("send_ping")
                self._network.send(self._get_connection(number), Ping(b"liveness"))
            case OpenConnection():
                self._limit_checker.check_connect()
                self._open_connection(action)
            case CloseConnection(connection_id=number):
                self._network.close(self._get_connection(number))
            case RestRequest():
                self._limit_checker.check_call()
                self._send_rest_request(action)
            case StatusChange():
                self.on_change(action)
            case Terminate(failure=failure):
                self.failure = failure
                self._limit_checker.is_stopped = True

    def _get_connection(self, number: int) -> SimulatedConnection:
        connection = self._network.connections.get(number)
        return self._limit_checker.fail_unknown_connection(number) if connection is None else connection

    def _send_text(self, number: int, text: str) -> None:
        self._active_faults.on_trigger("send_text")
        fault = self._active_faults.choose_subscribe_fault() if "subscribe.listenToken" in text else None
        self._network.send(self._get_connection(number), Text(text), fault)

    def _open_connection(self, action: OpenConnection) -> None:
        self._active_faults.on_trigger("connect")
        connection = SimulatedConnection(action.connection_id)
        self._network.connections[connection.number] = connection
        error = self._active_faults.choose_connect_error()
        if error is not None:
            failure = Failure(FailureKind.TRANSPORT_ERROR, error)
            self._clock.call_later(self._network.sample_delay(), lambda: self._on_connection_lost(connection, failure))
            return
        target = action.source.build_url(self._endpoints).removeprefix(_HOST)
        self._network.connect(connection, target, self._active_faults.choose_handshake_fault())
        self._clock.call_later(self._open_timeout, lambda: self._on_open_timeout(connection))

    def _on_open_timeout(self, connection: SimulatedConnection) -> None:
        if connection.is_open and not connection.handshake_done:
            self._network.close(connection)
            failure = Failure(FailureKind.TRANSPORT_ERROR, "the handshake timed out")
            self._lifecycle.on_close(connection.number, failure, self._clock.now)

    def on_handshake(self, connection: SimulatedConnection, response: Response | None) -> None:
        """The handshake ended: refused with a response, or accepted if it is None."""
        if response is None:
            connection.handshake_done = True
            self._lifecycle.on_open(connection.number, self._clock.now)
            self._active_faults.on_open(connection)
            return
        wait = dict(response.headers).get("Retry-After")
        failure = classify_status(response.status, None if wait is None else float(wait))
        self._check_refusal(failure)
        self._on_connection_lost(connection, failure)

    def _check_refusal(self, failure: Failure) -> None:
        is_injected = self._active_faults.is_injected_refusal()
        self._active_faults.extend_fault_window(self._limit_checker.on_refused(failure, is_injected=is_injected))

    def _on_connection_lost(self, connection: SimulatedConnection, failure: Failure) -> None:
        if connection.is_open:
            connection.known_closed = True
            self._network.connections.pop(connection.number, None)
            self._lifecycle.on_close(connection.number, failure, self._clock.now)

    def on_frame(self, connection: SimulatedConnection, frame: Frame) -> None:
        """A frame arrived."""
        number, now = connection.number, self._clock.now
        match frame:
            case Text(text=text):
                self._limit_checker.on_text(text)
                self._dispatcher.on_text(number, text.encode(), self._lifecycle.accounts_by_subscription(number), now)
            case Binary():
                self._dispatcher.on_binary(number, now)
            case Ping():
                self._lifecycle.on_ping(number, now)
            case Close(code=code, reason=reason):
                self._limit_checker.on_closed(code, reason)
                self._lifecycle.on_close(number, Failure(FailureKind.TRANSPORT_ERROR, f"closed with code {code}"), now)
            case Abort(kind=how):
                self._lifecycle.on_close(number, Failure(FailureKind.TRANSPORT_ERROR, how), now)
            case _:
                self._lifecycle.on_pong(number, now)

    def _send_rest_request(self, request: RestRequest) -> None:
        self._active_faults.on_trigger("rest_request")
        error = self._active_faults.choose_connect_error()
        if error is not None:
            failure = classify_error(TransportError(error, kind="refused"))
            self._respond_later(self._network.sample_delay(), request, failure)
            return
        self._clock.call_later(self._network.sample_delay(), lambda: self._deliver_rest_request(request))

    def _deliver_rest_request(self, request: RestRequest) -> None:
        result, seconds = self._client.request(request.call, self._active_faults.choose_rest_fault())
        self._respond_later(seconds, request, result)

    def _respond_later(self, seconds: float, request: RestRequest, result: RestResult) -> None:
        self._clock.call_later(seconds, lambda: self._on_rest_response(request, result))

    def _on_rest_response(self, request: RestRequest, result: RestResult) -> None:
        if isinstance(result, Failure):
            self._check_refusal(result)
        if self.failure is None:
            self._active_faults.on_trigger("rest_response")
            self._dispatcher.on_rest_result(request, result, self._clock.now)
