"""A pure exchange with a clock that tests advance."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from binance_margin_stream.sandbox import ExchangeRules, User
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.messages import Abort, Accepted, Close, Frame, Ping, Pong, Request, Response, Text

START_MS = 1_795_381_200_000
CROSS_KEY_PATH = "/sapi/v1/userDataStream"
ISOLATED_KEY_PATH = "/sapi/v1/userDataStream/isolated"
LISTEN_TOKEN_PATH = "/sapi/v1/userListenToken"
LISTEN_KEY_V2_PATH = "/sapi/v2/margin/listen-key"
RISK_LISTEN_KEY_PATH = "/sapi/v1/margin/listen-key"
SUBSCRIBE = "userDataStream.subscribe.listenToken"
UNSUBSCRIBE = "userDataStream.unsubscribe"

ENDPOINTS = [
    ("POST", CROSS_KEY_PATH),
    ("PUT", CROSS_KEY_PATH),
    ("DELETE", CROSS_KEY_PATH),
    ("POST", ISOLATED_KEY_PATH),
    ("PUT", ISOLATED_KEY_PATH),
    ("DELETE", ISOLATED_KEY_PATH),
    ("POST", LISTEN_TOKEN_PATH),
    ("POST", LISTEN_KEY_V2_PATH),
    ("PUT", LISTEN_KEY_V2_PATH),
    ("DELETE", LISTEN_KEY_V2_PATH),
    ("POST", RISK_LISTEN_KEY_PATH),
    ("PUT", RISK_LISTEN_KEY_PATH),
    ("DELETE", RISK_LISTEN_KEY_PATH),
]


@dataclass(frozen=True)
class ParsedResponse:
    """A response with its parsed body."""

    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def json(self) -> Any:
        return json.loads(self.response.body)

    @property
    def code(self) -> int:
        return int(self.json["code"])

    def header(self, name: str) -> str | None:
        return dict(self.response.headers).get(name)


class ExchangeHarness:
    def __init__(self, rules: ExchangeRules | None = None, seed: int = 1) -> None:
        self.rules = ExchangeRules(retired_endpoints="served") if rules is None else rules
        self.exchange = Exchange(self.rules, random.Random(seed))
        self.user = self.exchange.add_user()
        self.now = START_MS
        self._frames: dict[int, list[Frame]] = {}

    def call_rest(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | str = "",
        *,
        form: str = "",
        user: User | None = None,
        headers: tuple[tuple[str, str], ...] | None = None,
        ip: str = "127.0.0.1",
    ) -> ParsedResponse:
        query = parameters if isinstance(parameters, str) else encode_query(parameters)
        if headers is None:
            headers = (("X-MBX-APIKEY", (user or self.user).api_key),)
        target = f"{path}?{query}" if query else path
        return ParsedResponse(self.exchange.handle_rest(Request(method, target, headers, form.encode(), ip), self.now))

    def create_listen_key(self, path: str = CROSS_KEY_PATH, **parameters: object) -> str:
        return str(self.call_rest("POST", path, parameters).json["listenKey"])

    def create_listen_token(self, user: User | None = None, **parameters: object) -> str:
        return str(self.call_rest("POST", LISTEN_TOKEN_PATH, parameters, user=user).json["token"])

    def connect(self, target: str, ip: str = "127.0.0.1") -> Accepted | Response:
        return self.exchange.handle_handshake(Request("GET", target, ip=ip), self.now)

    def open_connection(self, target: str = "/ws-api/v3", ip: str = "127.0.0.1") -> int:
        opened = self.connect(target, ip)
        assert isinstance(opened, Accepted)
        return opened.connection_id

    def take_frames(self, connection: int) -> list[Frame]:
        """The frames that were sent on a connection since the last call."""
        for number, frame in self.exchange.take_outputs():
            self._frames.setdefault(number, []).append(frame)
        return self._frames.pop(connection, [])

    def take_texts(self, connection: int) -> list[Any]:
        return [json.loads(frame.text) for frame in self.take_frames(connection) if isinstance(frame, Text)]

    def take_event_names(self, connection: int) -> list[str]:
        """Names of the events that were sent on a connection, in any envelope."""
        names = []
        for text in self.take_texts(connection):
            event = text.get("event", text.get("data", text))
            names.append(str(event.get("e")))
        return names

    def send(self, connection: int, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self.exchange.receive(connection, Text(text), self.now)

    def request(self, connection: int, method: str, **params: object) -> Any:
        """Send a request to the WebSocket API and take its response, the next text frame."""
        self.take_texts(connection)
        self.send(connection, {"id": 1, "method": method, "params": params})
        return self.take_texts(connection)[0]

    def open_subscribed(self, user: User | None = None, **parameters: object) -> int:
        """A WebSocket API connection that is subscribed to an account."""
        connection = self.open_connection()
        response = self.request(connection, SUBSCRIBE, listenToken=self.create_listen_token(user, **parameters))
        assert response["status"] == 200
        return connection

    def send_event(self, event: dict[str, object], account: str = "cross", user: User | None = None) -> int:
        return self.exchange.send_event(event, (user or self.user).uid, account, self.now)

    def advance_time(self, seconds: float, answer_pings: bool = True) -> None:
        """Advance from deadline to deadline, with clients that answer pings or do not."""
        end = self.now + round(seconds * 1000)
        while (due := self.exchange.next_deadline()) is not None and due <= end:
            self._advance_to(max(due, self.now), answer_pings)
        self._advance_to(end, answer_pings)

    def _advance_to(self, now: int, answer_pings: bool) -> None:
        self.now = now
        self.exchange.advance(now)
        for number, frame in self.exchange.take_outputs():
            self._frames.setdefault(number, []).append(frame)
            if answer_pings and isinstance(frame, Ping):
                self.exchange.receive(number, Pong(frame.data), now)


def find_close(frames: list[Frame]) -> Close | Abort | None:
    """The frame that ended a connection, or None."""
    last = frames[-1] if frames else None
    return last if isinstance(last, Close | Abort) else None


def encode_query(parameters: Mapping[str, object]) -> str:
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())


def sign_query(query: str, secret: str) -> str:
    return hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
