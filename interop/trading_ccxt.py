"""ccxt and ccxt.pro: markets, orders, trades, balances and loans, on the cross and an isolated account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt.pro
from step import API_KEY, API_SECRET, REST, WEBSOCKET_API, report_version, run_step

SYMBOL = "BTC/USDT"
STREAM_WAIT = 0.7
"""How long a subscription takes at most, before an order is placed whose events it should deliver."""


def replace_host(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: replace_host(each) for name, each in value.items()}
    host = REST if value.startswith("http") else WEBSOCKET_API.removesuffix("/ws-api/v3")
    return f"{host}/{value.partition('://')[2].partition('/')[2]}"


async def create_client() -> Any:
    settings = {"apiKey": API_KEY, "secret": API_SECRET, "options": {"defaultType": "margin"}}
    client = ccxt.pro.binance(settings)
    client.urls["api"] = replace_host(client.urls["api"])
    await client.load_markets()
    return client


async def trade(mode: str) -> None:
    client = await create_client()
    params = {"marginMode": mode}
    stream_params = {"type": "margin", **params, **({"symbol": SYMBOL} if mode == "isolated" else {})}
    of_isolated = {"symbols": [SYMBOL]} if mode == "isolated" else {}
    last: dict[str, str] = {}

    async def create(kind: str, side: str, amount: float, price: float | None = None, **more: object) -> str:
        order = await client.create_order(SYMBOL, kind, side, amount, price, {**params, **more})
        last["id"] = order["id"]
        return str(order["status"])

    async def call(method: Callable[..., Awaitable[object]], *args: object, **kwargs: object) -> str:
        await method(*args, **kwargs)
        return "works"

    async def watch(method: Callable[..., Awaitable[object]], *args: object) -> str:
        received = asyncio.ensure_future(method(*args))
        await asyncio.sleep(STREAM_WAIT)
        await create("market", "buy", 0.5)
        await received
        return "received"

    async def borrow_and_repay() -> str:
        if mode == "cross":
            await client.borrow_cross_margin("USDT", 100)
            await client.repay_cross_margin("USDT", 100)
        else:
            await client.borrow_isolated_margin(SYMBOL, "USDT", 100)
            await client.repay_isolated_margin(SYMBOL, "USDT", 100)
        return "works"

    actions: dict[str, Callable[[], Awaitable[str]]] = {
        "create a limit order": lambda: create("limit", "buy", 0.5, 90),
        "fetch it": lambda: call(client.fetch_order, last["id"], SYMBOL, params),
        "fetch open orders": lambda: call(client.fetch_open_orders, SYMBOL, params=params),
        "cancel it": lambda: call(client.cancel_order, last["id"], SYMBOL, params),
        "create a market order": lambda: create("market", "buy", 0.5),
        "create a stop order": lambda: create("limit", "sell", 0.5, 80, stopLossPrice=85),
        "create a take-profit order": lambda: create("market", "sell", 0.5, None, takeProfitPrice=120),
        "create a post-only order": lambda: create("limit", "sell", 0.5, 110, postOnly=True),
        "create an order with a loan": lambda: create("limit", "buy", 0.5, 90, sideEffectType="MARGIN_BUY"),
        "cancel all orders": lambda: call(client.cancel_all_orders, SYMBOL, params),
        "fetch orders": lambda: call(client.fetch_orders, SYMBOL, params=params),
        "fetch trades": lambda: call(client.fetch_my_trades, SYMBOL, params=params),
        "fetch the balance": lambda: call(client.fetch_balance, {**params, **of_isolated}),
        "borrow and repay": borrow_and_repay,
        "watch_orders()": lambda: watch(client.watch_orders, SYMBOL, None, None, stream_params),
        "watch_my_trades()": lambda: watch(client.watch_my_trades, SYMBOL, None, None, stream_params),
        "watch_balance()": lambda: watch(client.watch_balance, stream_params),
    }
    for name, action in actions.items():
        await run_step(f"{mode}: {name}", action)
    await client.close()


async def main() -> None:
    report_version("ccxt")
    client: Any = None

    async def load() -> str:
        nonlocal client
        client = await create_client()
        return f"{len(client.markets)} markets"

    async def transfer() -> str:
        await client.transfer("USDT", 10, "spot", "margin")
        return "works"

    await run_step("load_markets()", load)
    await run_step("transfer from spot", transfer)
    await client.close()
    for mode in ("cross", "isolated"):
        await trade(mode)


asyncio.run(main())
