"""``make demo``: REST calls and a stream, over HTTP and WebSocket, against a sandbox in this process."""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from binance_margin_stream import (
    CROSS,
    ApiClient,
    ApiKeyAuth,
    BalanceUpdate,
    ListenKeyUnknownError,
    MarginLevelStatusChange,
    MarginStream,
    MarginStreamApi,
    StatusChange,
    StreamGap,
    StreamSettings,
    isolated,
)

if TYPE_CHECKING:
    from binance_margin_stream.sandbox import Sandbox

__all__ = ["main"]

_SETTINGS = StreamSettings(token_validity=10, backoff_initial=0.2)
"""Tokens are valid for ten seconds, so that a renewal can be seen."""

T = TypeVar("T")


class DemoError(Exception):
    """A step did not do what it shows."""


def main() -> int:
    """Run the demo and return the exit code."""
    started = time.monotonic()
    try:
        _run_demo()
    except KeyboardInterrupt:
        return 130
    except ImportError as error:
        _print_failure(f"{error.name} is missing: pip install 'binance-margin-stream[sandbox]'")
        return 1
    except Exception as error:  # any failure becomes one line and an exit code
        _print_failure(f"{type(error).__name__}: {error}")
        return 1
    _print_step("done", f"all steps worked, in {time.monotonic() - started:.1f} s; nothing is left running")
    return 0


def _run_demo() -> None:
    from binance_margin_stream.sandbox import ExchangeRules, Sandbox

    warnings.filterwarnings("ignore", "(POST|PUT|DELETE) /sapi/v1/userDataStream", DeprecationWarning)
    with Sandbox(rules=ExchangeRules(retired_endpoints="served")) as exchange:
        _print_step("sandbox", f"a sandbox exchange listens on {exchange.url}; no order is real")
        _print_title("single REST calls with a listen key, as before February 2026")
        _show_listen_key(exchange)
        _print_title("a stream, which makes all calls by itself, with the current API")
        _show_stream(exchange)


def _show_listen_key(exchange: Sandbox) -> None:
    from websockets.sync.client import connect

    with ApiClient(auth=ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints) as client:
        api = MarginStreamApi(client)
        created = api.sapi_v1_user_data_stream_post_with_http_info()
        listen_key = created.data.listen_key
        used = (created.headers or {}).get("x-sapi-used-ip-weight-1m", "?")
        _print_step(
            "create", f"POST created a listen key of {len(listen_key)} characters; weight used this minute: {used}"
        )
        api.sapi_v1_user_data_stream_put(listen_key=listen_key)
        _print_step("keep alive", "PUT extended it to 60 minutes from now")
        with connect(
            f"{exchange.endpoints.stream}/ws/{listen_key}", proxy=None, open_timeout=5, close_timeout=2
        ) as socket:
            order = exchange.place_order(symbol="BTCUSDT", side="BUY", type="LIMIT", quantity="0.010", price="60000")
            exchange.fill_order(order.order_id)
            event: dict[str, object] = {}
            while event.get("X") != "FILLED":
                event = json.loads(socket.recv(timeout=5))
                _print_step("listen", f"{event['e']} {event.get('X', '')}")
        api.sapi_v1_user_data_stream_delete(listen_key=listen_key)
        _print_step("close", "DELETE closed the key for all clients of the account")
        try:
            api.sapi_v1_user_data_stream_put(listen_key=listen_key)
        except ListenKeyUnknownError as error:
            _print_step("refused", str(error))
        else:
            raise DemoError("the sandbox kept a closed key alive")


def _show_stream(exchange: Sandbox) -> None:
    recorder = _ChangeRecorder()
    with MarginStream(
        ApiKeyAuth(exchange.api_key),
        accounts=[CROSS, isolated("ETHUSDT")],
        endpoints=exchange.endpoints,
        risk=True,
        settings=_SETTINGS,
        on_change=recorder,
    ) as stream:
        _print_step("subscribed", "cross margin, isolated ETHUSDT, and the risk events of the cross account")
        _show_trading(exchange, stream)
        _show_disconnection(exchange, stream)
        _show_renewal(recorder)
        _show_rotation(exchange, stream)
        health = stream.health
    counts = f"{sum(health.events.values())} events, {health.gaps} gaps, {health.reconnects} reconnects"
    _print_step("health", f"{counts}, {health.rotations} rotations, {health.renewals} renewals")


def _show_trading(exchange: Sandbox, stream: MarginStream) -> None:
    order = exchange.place_order(symbol="BTCUSDT", side="BUY", type="LIMIT", quantity="0.010", price="60000")
    exchange.fill_order(order.order_id, quantity="0.004")
    exchange.fill_order(order.order_id)
    order = exchange.place_order(
        symbol="ETHUSDT", side="SELL", type="LIMIT", quantity="2", price="3000", account="ETHUSDT"
    )
    exchange.cancel_order(order.order_id)
    exchange.borrow("USDT", "250")
    exchange.send_margin_call("1.18")
    _print_until(stream, MarginLevelStatusChange)


def _show_disconnection(exchange: Sandbox, stream: MarginStream) -> None:
    from binance_margin_stream.sandbox import faults

    exchange.inject_fault(faults.DropConnections("reset"))
    exchange.change_balance("USDT", "-1")
    _print_step("disconnect", "the connections were reset, and a transfer happened while disconnected")
    for _ in range(3):
        _print_until(stream, StreamGap)
    exchange.change_balance("USDT", "-2")
    _print_step("recovered", "all three are subscribed again; the next transfer:")
    _print_until(stream, BalanceUpdate)


def _show_renewal(recorder: _ChangeRecorder) -> None:
    recorder.wait_for("renewed", times=2)
    _print_step("renewed", "both tokens before they expired, on the same connection")


def _show_rotation(exchange: Sandbox, stream: MarginStream) -> None:
    """Replace the connection under load, as before the exchange closes it after 24 hours, and count the events."""
    from binance_margin_stream.sandbox import faults

    def transfer() -> None:
        for number in range(1, 501):
            exchange.change_balance("USDT", f"{number / 100:.2f}")
            time.sleep(0.002)

    sender = threading.Thread(target=transfer)
    sender.start()
    exchange.inject_fault(faults.ShutdownNotice(close_after_seconds=1))
    _print_step("rotate", "the exchange announces a shutdown, while 500 transfers happen")
    deltas: list[Decimal] = []
    with _close_after_timeout(stream):
        for item in stream:
            if isinstance(item, StreamGap):
                raise DemoError(f"a planned rotation caused a gap: {item}")
            deltas += [item.delta] if isinstance(item, BalanceUpdate) and item.delta is not None else []
            if deltas[-1:] == [Decimal(5)]:
                break
    sender.join()
    _print_step("rotated", f"{len(deltas)} transfers arrived, {len(set(deltas))} of them different")
    if len(deltas) != 500 or len(set(deltas)) != 500:
        raise DemoError("events were lost or duplicated in a planned rotation")


class _ChangeRecorder:
    """Records the changes of the stream, and waits for one."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._condition = threading.Condition()

    def __call__(self, change: StatusChange) -> None:
        with self._condition:
            self._names.append(change.kind)
            self._condition.notify_all()

    def wait_for(self, name: str, *, times: int) -> None:
        with self._condition:
            if not self._condition.wait_for(lambda: self._names.count(name) >= times, timeout=15):
                raise DemoError(f"no change {name!r} in 15 seconds")


@contextmanager
def _close_after_timeout(stream: MarginStream) -> Iterator[None]:
    """Close a stream that delivers nothing for ten seconds."""
    timer = threading.Timer(10, stream.close)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _print_until(stream: MarginStream, kind: type[T]) -> T:
    """Print items until one of a kind arrives."""
    with _close_after_timeout(stream):
        for item in stream:
            _print_step("gap" if isinstance(item, StreamGap) else "event", str(item))
            if isinstance(item, kind):
                return item
    raise DemoError(f"no {kind.__name__} in 10 seconds")


def _print_title(text: str) -> None:
    print(f"\n{'':>10}  {text}", flush=True)


def _print_step(step: str, text: str) -> None:
    print(f"{step:>10}  {text}", flush=True)


def _print_failure(reason: str) -> None:
    print(f"    failed  {reason}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
