"""The fuzz targets: the code that reads bytes from the network. Each takes bytes, and raises if a check fails.

`frames` decodes one WebSocket frame. `rest` passes the bytes of one HTTP response through the whole REST client.
`stream` runs a scenario of frames, losses and time, and checks the size of every table after each step.
"""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Callable
from typing import Any

import corpus
from checks import API_KEY, API_SECRET, GIVEN_KEY, check, check_no_secret
from stream_target import fuzz_stream

import binance_margin_stream as sdk
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.decoder import EventFrame, ResponseFrame, decode
from binance_margin_stream.stream.events.models import MalformedFrameError

MAX_CPU_SECONDS = 2.0
"""The most CPU time for one input, in seconds."""

logging.disable(logging.CRITICAL)  # the tests search log records for secrets; here they only cost time

ACCOUNTS = {0: CROSS, 1: isolated("BTCUSDT"), corpus.LISTEN_KEY: CROSS, None: CROSS}


def fuzz_frame(data: bytes) -> str:
    """Decode one frame. The result is a frame that can be shown, stored and compared, or `MalformedFrameError`."""
    try:
        frame = decode(data, ACCOUNTS)
    except MalformedFrameError as error:
        check_no_secret(str(error))
        return "malformed"
    if isinstance(frame, ResponseFrame):
        repr(frame), frame.ok, frame.subscription_id, frame.expiration_time
        return "response" if frame.ok else "error response"
    check(isinstance(frame, EventFrame), "neither an event nor a response")
    event = frame.event
    hash(event), repr(frame), event.to_json(), event.identity, hash(event.identity)
    return type(event).__name__


def make_client() -> sdk.ApiClient:
    nowhere = sdk.Endpoints(rest="http://127.0.0.1:1", websocket_api="", stream="", margin_stream="")
    auth, timeout = sdk.ApiKeyAuth(API_KEY, API_SECRET), sdk.Timeout(MAX_CPU_SECONDS, MAX_CPU_SECONDS)
    return sdk.ApiClient(auth=auth, endpoints=nowhere, timeout=timeout, retry=sdk.NO_RETRIES)


CLIENT = make_client()
POOL_CLASSES = CLIENT.rest_client.pool_manager.pool_classes_by_scheme
HttpPool: Any = POOL_CLASSES["http"]


class CannedConnection(HttpPool.ConnectionCls):
    """A connection on which the complete response is available at once."""

    response = b""
    peer_socket: socket.socket | None = None

    def connect(self) -> None:
        """Connect to a socket that holds the response. Closes the socket of the previous input."""
        if CannedConnection.peer_socket is not None:
            CannedConnection.peer_socket.close()
        self.sock, CannedConnection.peer_socket = socket.socketpair()
        self.sock.settimeout(self.timeout)
        CannedConnection.peer_socket.sendall(self.response)
        CannedConnection.peer_socket.shutdown(socket.SHUT_WR)


class CannedPool(HttpPool):
    """A pool of such connections."""

    ConnectionCls = CannedConnection


POOL_CLASSES["http"] = CannedPool


def make_calls(client: sdk.ApiClient) -> list[Callable[[], object]]:
    key, pair = {"listen_key": GIVEN_KEY}, {"symbol": "BTCUSDT"}
    operations = [
        *((sdk.MarginStreamApi, "sapi_v1_user_data_stream", verb, {}) for verb in ("post", "put", "delete")),
        *((sdk.IsolatedMarginStreamApi, "sapi_v1_user_data_stream_isolated", verb, pair) for verb in ("post", "put")),
        (sdk.ListenTokenApi, "sapi_v1_user_listen_token", "post", {}),
        *((sdk.MarginListenKeyApi, "sapi_v2_margin_listen_key", verb, {}) for verb in ("post", "put")),
        *((sdk.RiskStreamApi, "sapi_v1_margin_listen_key", verb, {}) for verb in ("post", "put")),
    ]
    calls = []
    for api, name, verb, arguments in operations:
        given = arguments if verb == "post" else arguments | key
        method = getattr(api(client), f"{name}_{verb}")
        calls.append(lambda method=method, given=given: method(**given))
    return calls


REST_CALLS = make_calls(CLIENT)


def fuzz_rest(data: bytes) -> str:
    """Make the call that the first byte selects, with the other bytes as the response."""
    CannedConnection.response = data[1 : 1 << 16]
    try:
        value = REST_CALLS[data[0] % len(REST_CALLS) if data else 0]()
    except sdk.OpenApiException as error:
        text = str(error)
        check(text and "\n" not in text, "an error message of more than one line")
        check_no_secret(text + repr(error))
        return type(error).__name__
    if not isinstance(value, dict):
        check_no_secret(repr(value))
    return type(value).__name__


TARGETS: dict[str, Callable[[bytes], str]] = {"frames": fuzz_frame, "rest": fuzz_rest, "stream": fuzz_stream}
GENERATORS: dict[str, Callable[[random.Random], bytes]] = {
    "frames": corpus.make_frame,
    "rest": corpus.make_rest_response,
    "stream": corpus.make_scenario,
}


def run_timed(name: str, data: bytes) -> tuple[str, float]:
    """The outcome of one input, and its CPU time in seconds."""
    started = time.process_time()
    outcome = TARGETS[name](data)
    seconds = time.process_time() - started
    check(seconds < MAX_CPU_SECONDS, f"one input took {seconds:.1f} s")
    return outcome, seconds
