"""Shared by the programs of both clients: reports each step as a line of JSON, and controls the sandbox over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import re
import urllib.request
from collections.abc import Awaitable, Callable
from importlib.metadata import version

REST = os.environ["SANDBOX_REST"]
WEBSOCKET_API = os.environ["SANDBOX_WEBSOCKET_API"]
STREAM = os.environ["SANDBOX_STREAM"]
API_KEY = os.environ["SANDBOX_API_KEY"]
API_SECRET = os.environ["SANDBOX_API_SECRET"]

_TIMEOUT = 25.0
_SECRET = re.compile(r"[A-Za-z0-9+/]{40,}")


def report_version(client: str) -> None:
    """Print the version of a client."""
    print(json.dumps({"version": version(client)}), flush=True)


async def run_step(name: str, action: Callable[[], Awaitable[str]]) -> None:
    """Run a step and print its result: `action` returns the detail, or raises. Keys and tokens are masked."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            detail, ok = await action(), True
    except Exception as error:  # every error is a result of the step
        detail, ok = f"{type(error).__name__}: {error}", False
    print(json.dumps({"name": name, "ok": ok, "detail": _SECRET.sub("***", " ".join(detail.split()))}), flush=True)


async def run_call(name: str, call: Callable[[], object]) -> None:
    """Run a call of a synchronous client as a step."""

    async def act() -> str:
        await asyncio.to_thread(call)
        return "works"

    await run_step(name, act)


async def call_operation(operation: str, **arguments: object) -> dict[str, object]:
    """Call a control operation of the sandbox, such as ``call_operation("fill-order", order_id=1)``."""

    def post() -> dict[str, object]:
        request = urllib.request.Request(
            f"{REST}/sandbox/{operation}",
            json.dumps(arguments).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return dict(json.load(response))

    return await asyncio.to_thread(post)


async def fill_order(symbol: str = "BTCUSDT", account: str = "cross") -> None:
    """Place an order and fill it."""
    await call_operation("place-order", symbol=symbol, quantity="0.5", price="60000", account=account)
    await call_operation("fill-order")
