"""Obeys the life cycle, as the engine does, but on the network of the simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urlencode

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import OpenApiException, TransportError
from binance_margin_stream.http.client import _deserialize as data_of
from binance_margin_stream.http.responses import HttpResponse as HttpAnswer
from binance_margin_stream.http.responses import map_error
from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.api.handshakes import margin_stream_prefix
from binance_margin_stream.sandbox.messages import Abort, Binary, Close, Frame, Ping, Request, Response, Text
from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.io.dispatcher import Dispatcher
from binance_margin_stream.stream.io.rest_calls import DEFAULT_TIMEOUT, RestResult
from binance_margin_stream.stream.io.rest_calls import _parse_credential as granted
from binance_margin_stream.stream.protocol.actions import (
    Action,
    CloseConnection,
    Failure,
    FailureKind,
    OpenConnection,
    SendPing,
    SendText,
    StatusChange,
    Terminate,
)
from binance_margin_stream.stream.protocol.actions import RestRequest as Call
from binance_margin_stream.stream.protocol.error_mapping import classify_error, classify_status
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from simulation.active_faults import Weather
from simulation.limit_checker import Limits
from simulation.network import Network, Pipe

__all__ = ["Shell", "endpoints_of"]

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
_SPELLED = {"listen_key": "listenKey", "is_isolated": "isIsolated"}
_PROMISED = {"sapi_v1_user_listen_token_post": "ListenToken"}
_READ = DEFAULT_TIMEOUT.read
_HOST = "ws://exchange"


def endpoints_of(rules: ExchangeRules) -> Endpoints:
    """Addresses of one host: the risk stream's has a prefix where the two stream hosts differ."""
    margin = _HOST + margin_stream_prefix(rules)
    v2 = _HOST if rules.listen_key_v2_host == "stream" else None
    return Endpoints(_HOST, websocket_api=f"{_HOST}/ws-api/v3", stream=_HOST, margin_stream=margin, listen_key_v2=v2)


class Shell:
    """Does what the life cycle says, and tells it what comes of it."""

    def __init__(
        self,
        life: Lifecycle[Event],
        network: Network,
        *,
        endpoints: Endpoints,
        weather: Weather,
        limits: Limits,
        later: Callable[[float, Callable[[], None]], None],
        open_timeout: float,
        signs: bool,
    ) -> None:
        self.failed: Failure | None = None
        self.changed: Callable[[StatusChange], None] = lambda change: None
        self._life = life
        self._reading = Dispatcher(life)
        self._network = network
        self._endpoints = endpoints
        self._weather = weather
        self._limits = limits
        self._later = later
        self._open_timeout = open_timeout
        self._signs = signs
        self._auth = ApiKeyAuth(network.user.api_key, network.user.api_secret)
        network.serve(self)

    @property
    def _now(self) -> float:
        return self._network.now

    def obey(self) -> None:
        """Do all that is to be done."""
        while self._life.actions:
            for action in self._life.pop_actions():
                self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case SendText(connection_id=number, text=text):
                self._limits.sends(self._now, f"a message on connection {number}")
                self._say(number, text)
            case SendPing(connection_id=number):
                self._weather.occasion("probe")
                self._network.send(self._pipe(number), Ping(b"probe"))
            case OpenConnection():
                self._limits.connects(self._now)
                self._open(action)
            case CloseConnection(connection_id=number):
                self._network.close(self._pipe(number))
            case Call():
                self._limits.calls(self._now)
                self._call(action)
            case StatusChange():
                self.changed(action)
            case Terminate(failure=failure):
                self.failed = failure
                self._limits.stopped = True

    def _pipe(self, number: int) -> Pipe:
        pipe = self._network.pipes.get(number)
        return self._limits.unknown(number) if pipe is None else pipe

    def _say(self, number: int, text: str) -> None:
        self._weather.occasion("message")
        fault = self._weather.strikes_subscribe() if "subscribe.listenToken" in text else None
        self._network.send(self._pipe(number), Text(text), fault)

    def _open(self, action: OpenConnection) -> None:
        self._weather.occasion("opening")
        pipe = Pipe(action.connection_id)
        self._network.pipes[pipe.number] = pipe
        broken = self._weather.breaks_connecting()
        if broken is not None:
            self._later(self._network.delay(), lambda: self._gone(pipe, Failure(FailureKind.TRANSPORT_ERROR, broken)))
            return
        target = action.source.build_url(self._endpoints).removeprefix(_HOST)
        self._network.connect(pipe, target, self._weather.strikes_handshake())
        self._later(self._open_timeout, lambda: self._give_up_opening(pipe))

    def _give_up_opening(self, pipe: Pipe) -> None:
        if pipe.is_open and not pipe.ready:
            self._network.close(pipe)
            self._life.on_close(
                pipe.number, Failure(FailureKind.TRANSPORT_ERROR, "the handshake took too long"), self._now
            )

    def handshake(self, pipe: Pipe, answer: Response | None) -> None:
        """Take the answer to a handshake."""
        if answer is None:
            pipe.ready = True
            self._life.on_open(pipe.number, self._now)
            self._weather.opened(pipe)
            return
        wait = dict(answer.headers).get("Retry-After")
        failure = classify_status(answer.status, None if wait is None else float(wait))
        self._limits.refused(self._now, failure, self._weather)
        self._gone(pipe, failure)

    def _gone(self, pipe: Pipe, failure: Failure) -> None:
        if pipe.is_open:
            pipe.over = True
            self._network.pipes.pop(pipe.number, None)
            self._life.on_close(pipe.number, failure, self._now)

    def frame(self, pipe: Pipe, frame: Frame) -> None:
        """Take a frame."""
        number, now = pipe.number, self._now
        match frame:
            case Text(text=text):
                self._limits.told(now, text, self._weather)
                self._reading.on_text(number, text.encode(), self._life.accounts_by_subscription(number), now)
            case Binary():
                self._reading.on_binary(number, now)
            case Ping():
                self._life.on_ping(number, now)
            case Close(code=code, reason=reason):
                self._limits.closed(code, reason)
                self._life.on_close(number, Failure(FailureKind.TRANSPORT_ERROR, f"closed with code {code}"), now)
            case Abort(kind=how):
                self._life.on_close(number, Failure(FailureKind.TRANSPORT_ERROR, how), now)
            case _:
                self._life.on_pong(number, now)

    def _call(self, call: Call) -> None:
        self._weather.occasion("call")
        broken = self._weather.breaks_connecting()
        if broken is not None:
            self._answer_later(self._network.delay(), call, classify_error(TransportError(broken, kind="refused")))
            return
        self._later(self._network.delay(), lambda: self._at_exchange(call))

    def _at_exchange(self, call: Call) -> None:
        fault = self._weather.strikes_call()
        answer = self._network.rest(self._request(call), fault)
        wait = self._network.delay() + answer.delay_ms / 1000
        if answer.delivery == "hang" or wait > _READ:
            late = TransportError("no answer in time", kind="timeout")
            self._answer_later(_READ, call, classify_error(late))
        elif answer.delivery in ("half", "reset"):
            self._answer_later(wait, call, classify_error(TransportError("cut off", kind="cut off")))
        else:
            outcome = self._outcome(call, answer)
            if isinstance(outcome, Failure):
                self._later(wait, lambda: self._limits.refused(self._now, outcome, self._weather))
            self._answer_later(wait, call, outcome)

    def _request(self, call: Call) -> Request:
        method, path = _ROUTES[call.call.operation]
        parameters = {_SPELLED.get(name, name): _text(value) for name, value in call.call.arguments.items()}
        if self._signs and path == "/sapi/v1/userListenToken":
            parameters["timestamp"] = str(self._network.milliseconds)
            parameters["signature"] = self._auth.sign(urlencode(parameters))
        key = ("X-MBX-APIKEY", self._network.user.api_key)
        return Request(method, path, (key,), _form(tuple(parameters.items())))

    def _outcome(self, call: Call, answer: Response) -> RestResult:
        method, path = _ROUTES[call.call.operation]
        whole = HttpAnswer(answer.status, dict(answer.headers), answer.body, method, path)
        try:
            if not 200 <= answer.status < 300:
                raise map_error(whole, datetime.fromtimestamp(self._network.milliseconds / 1000, UTC))
            default = None if method == "PUT" and "margin" in path else "object" if method == "PUT" else _KEY
            return granted(data_of(whole, _PROMISED.get(call.call.operation, default)))
        except OpenApiException as error:
            return classify_error(error)

    def _answer_later(self, wait: float, call: Call, outcome: RestResult) -> None:
        self._later(wait, lambda: self._answered(call, outcome))

    def _answered(self, call: Call, outcome: RestResult) -> None:
        if self.failed is None:
            self._weather.occasion("answer")
            self._reading.on_rest_result(call, outcome, self._now)


_KEY = "ApiV3UserDataStreamPost200Response"


@lru_cache(64)
def _form(parameters: tuple[tuple[str, str], ...]) -> bytes:
    return urlencode(parameters).encode()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
