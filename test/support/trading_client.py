"""A client of the trading calls of a running sandbox, which signs with HMAC."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from binance_margin_stream.sandbox import Sandbox, User

TIMEOUT_SECONDS = 5.0
PREFIX = "/sapi/v1/margin"


@dataclass(frozen=True)
class Answer:
    """The status, JSON body and headers of a response."""

    status: int
    json: Any
    headers: Mapping[str, str] = field(repr=False)

    @property
    def code(self) -> int:
        return int(self.json["code"])


class TradingClient:
    """Signed and public calls, on one connection."""

    def __init__(self, exchange: Sandbox, user: User | None = None) -> None:
        self.exchange = exchange
        self._user = user
        host, _, port = exchange.url.removeprefix("http://").rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        self._connection.close()

    def get_public(self, path: str, **parameters: object) -> Answer:
        return self._request("GET", f"{path}?{urlencode(parameters)}", "")

    def call(self, method: str, path: str, *, body: bool = False, **parameters: object) -> Answer:
        """A signed call; a path without a prefix is below ``/sapi/v1/margin``."""
        target = path if path.startswith("/sapi") else PREFIX + path
        parameters.setdefault("timestamp", time.time_ns() // 1_000_000)
        text = urlencode(parameters)
        secret = self.exchange.api_secret if self._user is None else self._user.api_secret
        text += "&signature=" + hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return self._request(method, target, text) if body else self._request(method, f"{target}?{text}", "")

    def get(self, path: str, **parameters: object) -> Any:
        """The JSON of a signed GET that succeeds."""
        answer = self.call("GET", path, **parameters)
        assert answer.status == 200, answer
        return answer.json

    def order(self, side: str = "BUY", type: str = "LIMIT", **parameters: object) -> Answer:
        """A new order of BTCUSDT."""
        given: dict[str, object] = {"symbol": "BTCUSDT", "side": side, "type": type, "quantity": "1"}
        if type == "LIMIT":
            given |= {"timeInForce": "GTC", "price": "100"}
        given |= parameters
        return self.call("POST", "/order", **{name: value for name, value in given.items() if value is not None})

    def _request(self, method: str, target: str, body: str) -> Answer:
        key = self.exchange.api_key if self._user is None else self._user.api_key
        headers = {"X-MBX-APIKEY": key}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, target, body or None, headers)
        response = self._connection.getresponse()
        return Answer(response.status, json.loads(response.read()), dict(response.getheaders()))
