"""``make demo``: the main job done for real, over HTTP and WebSocket, against the embedded sandbox."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from binance_margin_stream import ApiClient, ApiKeyAuth, ListenKeyUnknownError, MarginStreamApi

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from binance_margin_stream.sandbox import Sandbox

__all__ = ["main"]


class DemoError(Exception):
    """A step did not do what it is there to show."""


def main() -> int:
    """Run the demo; answers the exit code."""
    started = time.monotonic()
    try:
        _demo()
    except ImportError as error:
        _fail(f"{error.name} is missing: pip install 'binance-margin-stream[sandbox]'")
        return 1
    except Exception as error:  # whatever it is, a person reads one line and the exit code tells
        _fail(f"{type(error).__name__}: {error}")
        return 1
    _say("done", f"all steps worked, in {time.monotonic() - started:.1f} s; nothing is left running")
    return 0


def _demo() -> None:
    from binance_margin_stream.sandbox import Rules, Sandbox

    warnings.filterwarnings("ignore", "(POST|PUT|DELETE) /sapi/v1/userDataStream", DeprecationWarning)
    with Sandbox(rules=Rules(retired_calls="served")) as exchange:
        _say("sandbox", f"an exchange for practice listens on {exchange.url}; no order here is real")
        with ApiClient(auth=ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints) as client:
            _follow_an_order(exchange, MarginStreamApi(client))


def _follow_an_order(exchange: Sandbox, api: MarginStreamApi) -> None:
    created = api.sapi_v1_user_data_stream_post_with_http_info()
    listen_key = created.data.listen_key
    used = (created.headers or {}).get("x-sapi-used-ip-weight-1m", "?")
    _say("create", f"POST made a listen key of {len(listen_key)} characters; weight used this minute: {used}")

    api.sapi_v1_user_data_stream_put(listen_key=listen_key)
    _say("keep alive", "PUT extended it to 60 minutes from now")

    from websockets.sync.client import connect

    with connect(f"{exchange.endpoints.stream}/ws/{listen_key}", open_timeout=5, close_timeout=2) as socket:
        _say("listen", "a WebSocket is open on the key")
        order = exchange.place_order(symbol="BTCUSDT", side="BUY", type="LIMIT", quantity="0.010", price="60000")
        exchange.fill_order(order.order_id, quantity="0.004")
        exchange.fill_order(order.order_id)
        _say("order", f"order {order.order_id} was placed, and filled in two parts")
        _show(socket)

    api.sapi_v1_user_data_stream_delete(listen_key=listen_key)
    _say("close", "DELETE ended the key, for every client of the account")
    try:
        api.sapi_v1_user_data_stream_put(listen_key=listen_key)
    except ListenKeyUnknownError as error:
        _say("refused", f"PUT on the closed key: {error}")
    else:
        raise DemoError("the sandbox kept a closed key alive")


def _show(socket: ClientConnection) -> None:
    """Print what arrives until the order is filled and the balances have been told."""
    seen: list[dict[str, object]] = []
    for event in _events(socket):
        seen.append(event)
        _say("event", _words(event))
        if seen[-1]["e"] == "outboundAccountPosition" and seen[-2:-1] and seen[-2].get("X") == "FILLED":
            return


def _events(socket: ClientConnection) -> Iterator[dict[str, object]]:
    while True:
        yield json.loads(socket.recv(timeout=5))


def _words(event: dict[str, object]) -> str:
    if event["e"] == "executionReport":
        return f"executionReport: {event['S']} {event['q']} {event['s']} is {event['X']}, {event['z']} filled so far"
    balances = cast("list[dict[str, str]]", event.get("B", []))
    return f"{event['e']}: " + ", ".join(f"{b['a']} {b['f']} free, {b['l']} locked" for b in balances)


def _say(step: str, what: str) -> None:
    print(f"{step:>10}  {what}", flush=True)


def _fail(why: str) -> None:
    print(f"    failed  {why}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
