"""binance-connector: orders, OCO, loans and queries, on the cross and an isolated account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from binance.spot import Spot
from step import API_KEY, API_SECRET, REST, report_version, run_call

PUBLIC = ("ping", "time", "exchange_info", "ticker_price", "ticker_24hr", "book_ticker", "system_status")
READS = ("margin_account", "isolated_margin_account", "margin_open_orders", "coin_info", "trade_fee", "bnbBurn_status")


async def trade(client: Any, mode: str) -> None:
    isolated = {"isIsolated": "TRUE" if mode == "isolated" else "FALSE"}
    of_account = {**isolated, "symbol": "BTCUSDT"}
    last: dict[str, int] = {}

    def create() -> None:
        answer = client.new_margin_order(
            "BTCUSDT", "BUY", "LIMIT", quantity=0.5, price=90, timeInForce="GTC", **isolated
        )
        last["id"] = answer["orderId"]

    def borrow(**parameters: object) -> None:
        client.borrow_repay(asset="USDT", amount="100", type="BORROW", **isolated, **parameters)

    actions: dict[str, Callable[[], object]] = {
        "create a limit order": create,
        "get it": lambda: client.margin_order("BTCUSDT", orderId=last["id"], **isolated),
        "cancel it": lambda: client.cancel_margin_order("BTCUSDT", orderId=last["id"], **isolated),
        "create an OCO": lambda: client.new_margin_oco_order("BTCUSDT", "SELL", 0.5, 110, 95, **isolated),
        "get all orders": lambda: client.margin_all_orders("BTCUSDT", **isolated),
        "get trades": lambda: client.margin_my_trades("BTCUSDT", **isolated),
        "cancel all orders": lambda: client.margin_open_orders_cancellation("BTCUSDT", **isolated),
        "borrow": lambda: borrow(symbol="BTCUSDT"),
        "get loans": lambda: client.borrow_repay_record(type="BORROW"),
    }
    for name, action in actions.items():
        await run_call(f"{mode}: {name}", action)
    if mode == "cross":
        await run_call("borrow on cross without a symbol", lambda: borrow(symbol=None))
        await run_call("query order lists on cross", lambda: client.get_margin_oco_orders(**isolated))
    else:
        await run_call("query order lists on isolated", lambda: client.get_margin_oco_orders(**of_account))


async def main() -> None:
    report_version("binance-connector")
    client: Any = Spot(API_KEY, API_SECRET, base_url=REST)
    for name in PUBLIC + READS:
        await run_call(f"{name}()", getattr(client, name))
    for mode in ("cross", "isolated"):
        await trade(client, mode)


asyncio.run(main())
