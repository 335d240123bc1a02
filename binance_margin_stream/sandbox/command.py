"""``python -m binance_margin_stream.sandbox``: a sandbox exchange in a terminal."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from .rules import Rules
from .sandbox import Sandbox

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sandbox until Ctrl-C or SIGTERM; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        sandbox = Sandbox(
            rules=Rules(retired_calls=options.retired_calls),
            host=options.host,
            port=options.port,
            speed=options.speed,
            seed=options.seed,
            i_understand_that_this_listens_beyond_loopback=options.beyond_loopback,
        ).start()
    except (OSError, ValueError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    with sandbox:
        print(_introduction(sandbox), flush=True)
        _wait_for_signal()
    print("The sandbox is closed.", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m binance_margin_stream.sandbox",
        description="A sandbox for margin user data streams. It is not an exchange: no orders, no money.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="0 lets the system choose, the default")
    parser.add_argument(
        "--retired-calls",
        choices=("gone", "served"),
        default="gone",
        help="whether the calls removed on 2026-02-20 answer 410 or work (%(default)s)",
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than real time it runs (%(default)s)")
    parser.add_argument("--seed", type=int, help="makes keys and tokens the same every time")
    parser.add_argument(
        "--i-understand-that-this-listens-beyond-loopback",
        dest="beyond_loopback",
        action="store_true",
        help="allow a host that other machines can reach",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _introduction(sandbox: Sandbox) -> str:
    endpoints = sandbox.endpoints
    return f"""\
Sandbox for margin user data streams. This is not an exchange: no orders, no money, nothing leaves here.

  REST            {endpoints.rest}
  WebSocket API   {endpoints.websocket_api}
  streams         {endpoints.stream}
  risk stream     {endpoints.margin_stream}

The key below works here and nowhere else. To use it in a shell:

  export BINANCE_API_KEY={sandbox.api_key}
  export BINANCE_API_SECRET={sandbox.api_secret}
  curl -X POST -H "X-MBX-APIKEY: $BINANCE_API_KEY" {endpoints.rest}/sapi/v1/userListenToken

Ctrl-C ends it."""


def _wait_for_signal() -> None:
    stop = threading.Event()

    def ours(_: int, __: object) -> None:
        stop.set()

    before = {number: signal.signal(number, ours) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
