"""A pure exchange with a clock that tests move by hand."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from binance_margin_stream.sandbox import ApiAccount, Rules
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.messages import Answer, Close, Cut, Frame, Opened, Ping, Pong, Request, Text

START = 1_795_381_200_000
CROSS = "/sapi/v1/userDataStream"
ISOLATED = "/sapi/v1/userDataStream/isolated"
TOKEN = "/sapi/v1/userListenToken"
V2 = "/sapi/v2/margin/listen-key"
RISK = "/sapi/v1/margin/listen-key"
SUBSCRIBE = "userDataStream.subscribe.listenToken"
UNSUBSCRIBE = "userDataStream.unsubscribe"

CALLS = [
    ("POST", CROSS),
    ("PUT", CROSS),
    ("DELETE", CROSS),
    ("POST", ISOLATED),
    ("PUT", ISOLATED),
    ("DELETE", ISOLATED),
    ("POST", TOKEN),
    ("POST", V2),
    ("PUT", V2),
    ("DELETE", V2),
    ("POST", RISK),
    ("PUT", RISK),
    ("DELETE", RISK),
]


@dataclass(frozen=True)
class Reply:
    """An answer, read."""

    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def json(self) -> Any:
        return json.loads(self.answer.body)

    @property
    def code(self) -> int:
        return int(self.json["code"])

    def header(self, name: str) -> str | None:
        return dict(self.answer.headers).get(name)


class Desk:
    def __init__(self, rules: Rules | None = None, seed: int = 1) -> None:
        self.rules = Rules(retired_calls="served") if rules is None else rules
        self.exchange = Exchange(self.rules, random.Random(seed))
        self.user = self.exchange.add_account()
        self.now = START
        self._frames: dict[int, list[Frame]] = {}

    def call(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | str = "",
        *,
        form: str = "",
        user: ApiAccount | None = None,
        headers: tuple[tuple[str, str], ...] | None = None,
        ip: str = "127.0.0.1",
    ) -> Reply:
        query = parameters if isinstance(parameters, str) else encode(parameters)
        if headers is None:
            headers = (("X-MBX-APIKEY", (user or self.user).api_key),)
        target = f"{path}?{query}" if query else path
        return Reply(self.exchange.rest(Request(method, target, headers, form.encode(), ip), self.now))

    def listen_key(self, path: str = CROSS, **parameters: object) -> str:
        return str(self.call("POST", path, parameters).json["listenKey"])

    def token(self, user: ApiAccount | None = None, **parameters: object) -> str:
        return str(self.call("POST", TOKEN, parameters, user=user).json["token"])

    def connect(self, target: str, ip: str = "127.0.0.1") -> Opened | Answer:
        return self.exchange.connect(Request("GET", target, ip=ip), self.now)

    def open(self, target: str = "/ws-api/v3", ip: str = "127.0.0.1") -> int:
        opened = self.connect(target, ip)
        assert isinstance(opened, Opened)
        return opened.connection

    def frames(self, connection: int) -> list[Frame]:
        """What has been sent on a connection since the last look."""
        for number, frame in self.exchange.take_outputs():
            self._frames.setdefault(number, []).append(frame)
        return self._frames.pop(connection, [])

    def texts(self, connection: int) -> list[Any]:
        return [json.loads(frame.text) for frame in self.frames(connection) if isinstance(frame, Text)]

    def events(self, connection: int) -> list[str]:
        """Names of the events that were sent on a connection, whatever they are wrapped in."""
        names = []
        for text in self.texts(connection):
            event = text.get("event", text.get("data", text))
            names.append(str(event.get("e")))
        return names

    def send(self, connection: int, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self.exchange.receive(connection, Text(text), self.now)

    def ask(self, connection: int, method: str, **params: object) -> Any:
        """Send a request to the WebSocket API and take the answer, which is the next text frame."""
        self.texts(connection)
        self.send(connection, {"id": 1, "method": method, "params": params})
        return self.texts(connection)[0]

    def subscribed(self, user: ApiAccount | None = None, **parameters: object) -> int:
        """A WebSocket API connection that is subscribed to an account."""
        connection = self.open()
        answer = self.ask(connection, SUBSCRIBE, listenToken=self.token(user, **parameters))
        assert answer["status"] == 200
        return connection

    def emit(self, event: dict[str, object], account: str = "cross", user: ApiAccount | None = None) -> int:
        return self.exchange.emit(event, (user or self.user).uid, account, self.now)

    def pass_time(self, seconds: float, answering: bool = True) -> None:
        """Let time pass deadline by deadline, with clients that answer their pings or do not."""
        end = self.now + round(seconds * 1000)
        while (due := self.exchange.next_deadline()) is not None and due <= end:
            self._advance_to(max(due, self.now), answering)
        self._advance_to(end, answering)

    def _advance_to(self, now: int, answering: bool) -> None:
        self.now = now
        self.exchange.advance(now)
        for number, frame in self.exchange.take_outputs():
            self._frames.setdefault(number, []).append(frame)
            if answering and isinstance(frame, Ping):
                self.exchange.receive(number, Pong(frame.data), now)


def ended(frames: list[Frame]) -> Close | Cut | None:
    """How a connection ended, if it did."""
    last = frames[-1] if frames else None
    return last if isinstance(last, Close | Cut) else None


def encode(parameters: Mapping[str, object]) -> str:
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())


def sign(query: str, secret: str) -> str:
    return hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
