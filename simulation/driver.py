"""Obeys the life cycle, as the engine does, but on the network of the simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urlencode

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import OpenApiException, TransportError
from binance_margin_stream.http.client import _deserialize as deserialize
from binance_margin_stream.http.responses import HttpResponse, map_error
from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.api.handshakes import margin_stream_prefix
from binance_margin_stream.sandbox.messages import Abort, Binary, Close, Frame, Ping, Request, Response, Text
from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.io.dispatcher import Dispatcher
from binance_margin_stream.stream.io.rest_calls import DEFAULT_TIMEOUT, RestResult
from binance_margin_stream.stream.io.rest_calls import _parse_credential as parse_credential
from binance_margin_stream.stream.protocol.actions import (
    Action,
    CloseConnection,
    Failure,
    FailureKind,
    OpenConnection,
    RestRequest,
    SendPing,
    SendText,
    StatusChange,
    Terminate,
)
from binance_margin_stream.stream.protocol.error_mapping import classify_error, classify_status
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from simulation.active_faults import ActiveFaults
from simulation.limit_checker import LimitChecker
from simulation.network import Network, SimulatedConnection

__all__ = ["Driver", "make_endpoints"]

_ROUTES: Mapping[str, tuple[str, str]] = {
    "sapi_v1_user_listen_token_post": ("POST", "/sapi/v1/userListenToken"),
    "sapi_v1_user_data_stream_post": ("POST", "/sapi/v1/userDataStream"),
    "sapi_v1_user_data_stream_put": ("PUT", "/sapi/v1/userDataStream"),
    "sapi_v1_user_data_stream_isolated_post": ("POST", "/sapi/v1/userDataStream/isolated"),
    "sapi_v1_user_data_stream_isolated_put": ("PUT", "/sapi/v1/userDataStream/isolated"),
    "sapi_v2_margin_listen_key_post": ("POST", "/sapi/v2/margin/listen-key"),
    "sapi_v2_margin_listen_key_put": ("PUT", "/sapi/v2/margin/listen-key"),
    "sapi_v1_margin_listen_key_post": ("POST", "/sapi/v1/margin/listen-key"),
    "sapi_v1_margin_listen_key_put": ("PUT", "/sapi/v1/margin/listen-key"),
}
_WIRE_NAMES = {"listen_key": "listenKey", "is_isolated": "isIsolated"}
_RESPONSE_TYPES = {"sapi_v1_user_listen_token_post": "ListenToken"}
_READ_TIMEOUT = DEFAULT_TIMEOUT.read
_HOST = "ws://exchange"


def make_endpoints(exchange_rules: ExchangeRules) -> Endpoints:
    """Addresses of one host: the risk stream's has a prefix where the two stream hosts differ."""
    margin = _HOST + margin_stream_prefix(exchange_rules)
    v2 = _HOST if exchange_rules.listen_key_v2_host == "stream" else None
    return Endpoints(_HOST, websocket_api=f"{_HOST}/ws-api/v3", stream=_HOST, margin_stream=margin, listen_key_v2=v2)


class Driver:
    """Does what the life cycle says, and tells it what comes of it."""

    def __init__(
        self,
        lifecycle: Lifecycle[Event],
        network: Network,
        *,
        endpoints: Endpoints,
        active_faults: ActiveFaults,
        limit_checker: LimitChecker,
        call_later: Callable[[float, Callable[[], None]], None],
        open_timeout: float,
        sign_requests: bool,
    ) -> None:
        self.failure: Failure | None = None
        self.on_change: Callable[[StatusChange], None] = lambda change: None
        self._lifecycle = lifecycle
        self._dispatcher = Dispatcher(lifecycle)
        self._network = network
        self._endpoints = endpoints
        self._active_faults = active_faults
        self._limit_checker = limit_checker
        self._call_later = call_later
        self._open_timeout = open_timeout
        self._sign_requests = sign_requests
        self._auth = ApiKeyAuth(network.user.api_key, network.user.api_secret)
        network.attach(self)

    @property
    def _now(self) -> float:
        return self._network.now

    def run_actions(self) -> None:
        """Do all that is to be done."""
        while self._lifecycle.actions:
            for action in self._lifecycle.pop_actions():
                self._execute(action)

    def _execute(self, action: Action) -> None:
        match action:
            case SendText(connection_id=number, text=text):
                self._limit_checker.check_send(self._now, f"a message on connection {number}")
                self._send_text(number, text)
            case SendPing(connection_id=number):
                self._active_faults.on_trigger("probe")
                self._network.send(self._connection(number), Ping(b"probe"))
            case OpenConnection():
                self._limit_checker.check_connect(self._now)
                self._open_connection(action)
            case CloseConnection(connection_id=number):
                self._network.close(self._connection(number))
            case RestRequest():
                self._limit_checker.check_call(self._now)
                self._send_rest_request(action)
            case StatusChange():
                self.on_change(action)
            case Terminate(failure=failure):
                self.failure = failure
                self._limit_checker.is_stopped = True

    def _connection(self, number: int) -> SimulatedConnection:
        connection = self._network.connections.get(number)
        return self._limit_checker.fail_unknown_connection(number) if connection is None else connection

    def _send_text(self, number: int, text: str) -> None:
        self._active_faults.on_trigger("message")
        fault = self._active_faults.choose_subscribe_fault() if "subscribe.listenToken" in text else None
        self._network.send(self._connection(number), Text(text), fault)

    def _open_connection(self, action: OpenConnection) -> None:
        self._active_faults.on_trigger("opening")
        connection = SimulatedConnection(action.connection_id)
        self._network.connections[connection.number] = connection
        error = self._active_faults.connect_error()
        if error is not None:
            self._call_later(
                self._network.sample_delay(),
                lambda: self._on_connection_lost(connection, Failure(FailureKind.TRANSPORT_ERROR, error)),
            )
            return
        target = action.source.build_url(self._endpoints).removeprefix(_HOST)
        self._network.connect(connection, target, self._active_faults.choose_handshake_fault())
        self._call_later(self._open_timeout, lambda: self._on_open_timeout(connection))

    def _on_open_timeout(self, connection: SimulatedConnection) -> None:
        if connection.is_open and not connection.handshake_done:
            self._network.close(connection)
            self._lifecycle.on_close(
                connection.number, Failure(FailureKind.TRANSPORT_ERROR, "the handshake took too long"), self._now
            )

    def on_handshake(self, connection: SimulatedConnection, response: Response | None) -> None:
        """Take the answer to a handshake."""
        if response is None:
            connection.handshake_done = True
            self._lifecycle.on_open(connection.number, self._now)
            self._active_faults.on_open(connection)
            return
        wait = dict(response.headers).get("Retry-After")
        failure = classify_status(response.status, None if wait is None else float(wait))
        self._limit_checker.on_refused(self._now, failure, self._active_faults)
        self._on_connection_lost(connection, failure)

    def _on_connection_lost(self, connection: SimulatedConnection, failure: Failure) -> None:
        if connection.is_open:
            connection.known_closed = True
            self._network.connections.pop(connection.number, None)
            self._lifecycle.on_close(connection.number, failure, self._now)

    def on_frame(self, connection: SimulatedConnection, frame: Frame) -> None:
        """Take a frame."""
        number, now = connection.number, self._now
        match frame:
            case Text(text=text):
                self._limit_checker.on_text(now, text, self._active_faults)
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
        self._active_faults.on_trigger("call")
        error = self._active_faults.connect_error()
        if error is not None:
            self._respond_later(
                self._network.sample_delay(), request, classify_error(TransportError(error, kind="refused"))
            )
            return
        self._call_later(self._network.sample_delay(), lambda: self._deliver_rest_request(request))

    def _deliver_rest_request(self, request: RestRequest) -> None:
        fault = self._active_faults.choose_rest_fault()
        response = self._network.call_rest(self._make_sandbox_request(request), fault)
        wait = self._network.sample_delay() + response.delay_ms / 1000
        if response.delivery == "never" or wait > _READ_TIMEOUT:
            late = TransportError("no answer in time", kind="timeout")
            self._respond_later(_READ_TIMEOUT, request, classify_error(late))
        elif response.delivery in ("truncated", "reset"):
            self._respond_later(wait, request, classify_error(TransportError("disconnected", kind="disconnected")))
        else:
            result = self._parse_response(request, response)
            if isinstance(result, Failure):
                self._call_later(wait, lambda: self._limit_checker.on_refused(self._now, result, self._active_faults))
            self._respond_later(wait, request, result)

    def _make_sandbox_request(self, request: RestRequest) -> Request:
        method, path = _ROUTES[request.call.operation]
        parameters = {
            _WIRE_NAMES.get(name, name): _encode_value(value) for name, value in request.call.arguments.items()
        }
        if self._sign_requests and path == "/sapi/v1/userListenToken":
            parameters["timestamp"] = str(self._network.epoch_ms)
            parameters["signature"] = self._auth.sign(urlencode(parameters))
        key = ("X-MBX-APIKEY", self._network.user.api_key)
        return Request(method, path, (key,), _encode_form(tuple(parameters.items())))

    def _parse_response(self, request: RestRequest, response: Response) -> RestResult:
        method, path = _ROUTES[request.call.operation]
        http_response = HttpResponse(response.status, dict(response.headers), response.body, method, path)
        try:
            if not 200 <= response.status < 300:
                raise map_error(http_response, datetime.fromtimestamp(self._network.epoch_ms / 1000, UTC))
            default = (
                None if method == "PUT" and "margin" in path else "object" if method == "PUT" else _LISTEN_KEY_TYPE
            )
            return parse_credential(deserialize(http_response, _RESPONSE_TYPES.get(request.call.operation, default)))
        except OpenApiException as error:
            return classify_error(error)

    def _respond_later(self, wait: float, request: RestRequest, result: RestResult) -> None:
        self._call_later(wait, lambda: self._on_response(request, result))

    def _on_response(self, request: RestRequest, result: RestResult) -> None:
        if self.failure is None:
            self._active_faults.on_trigger("answer")
            self._dispatcher.on_rest_result(request, result, self._now)


_LISTEN_KEY_TYPE = "ApiV3UserDataStreamPost200Response"


@lru_cache(64)
def _encode_form(parameters: tuple[tuple[str, str], ...]) -> bytes:
    return urlencode(parameters).encode()


def _encode_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
