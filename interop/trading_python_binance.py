"""python-binance: orders, OCO, loans and queries, on the cross and an isolated account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from binance.client import Client
from step import API_KEY, API_SECRET, REST, report_version, run_call

Client.API_URL = f"{REST}/api"
Client.MARGIN_API_URL = f"{REST}/sapi"


async def trade(client: Any, mode: str) -> None:
    isolated = "TRUE" if mode == "isolated" else "FALSE"
    order = {"symbol": "BTCUSDT", "isIsolated": isolated}
    of_account = order if mode == "isolated" else {"isIsolated": isolated}
    last: dict[str, int] = {}

    def create(**parameters: object) -> None:
        last["id"] = client.create_margin_order(**order, **parameters)["orderId"]

    def create_oco() -> None:
        last["list"] = client.create_margin_oco_order(
            **order,
            side="SELL",
            quantity="0.5",
            price="110",
            stopPrice="95",
            stopLimitPrice="94",
            stopLimitTimeInForce="GTC",
        )["orderListId"]

    def borrow(kind: str) -> None:
        client.margin_borrow_repay(**of_account, asset="USDT", amount="100", type=kind)

    actions: dict[str, Callable[[], object]] = {
        "create a limit order": lambda: create(side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.5", price="90"),
        "get it": lambda: client.get_margin_order(**order, orderId=last["id"]),
        "get open orders": lambda: client.get_open_margin_orders(**of_account),
        "cancel it": lambda: client.cancel_margin_order(**order, orderId=last["id"]),
        "create a market order": lambda: create(side="BUY", type="MARKET", quoteOrderQty="100"),
        "get all orders": lambda: client.get_all_margin_orders(**order),
        "get trades": lambda: client.get_margin_trades(**order),
        "create an OCO": create_oco,
        "get it as a list": lambda: client.get_margin_oco_order(**of_account, orderListId=last["list"]),
        "get open lists": lambda: client.get_open_margin_oco_orders(**of_account),
        "cancel the OCO": lambda: client.cancel_margin_oco_order(**order, orderListId=last["list"]),
        "borrow": lambda: borrow("BORROW"),
        "repay": lambda: borrow("REPAY"),
    }
    for name, action in actions.items():
        await run_call(f"{mode}: {name}", action)


async def main() -> None:
    report_version("python-binance")
    client: Any = Client(API_KEY, API_SECRET)
    actions: dict[str, Callable[[], object]] = {
        "get_exchange_info()": client.get_exchange_info,
        "get_margin_account()": client.get_margin_account,
        "get_isolated_margin_account()": lambda: client.get_isolated_margin_account(symbols="BTCUSDT"),
        "get_all_isolated_margin_symbols()": client.get_all_isolated_margin_symbols,
        "get_margin_price_index()": lambda: client.get_margin_price_index(symbol="BTCUSDT"),
        "get_max_margin_loan()": lambda: client.get_max_margin_loan(asset="USDT"),
        "make_universal_transfer()": lambda: client.make_universal_transfer(
            type="MAIN_MARGIN", asset="USDT", amount="10"
        ),
        "get_ticker()": lambda: client.get_ticker(symbol="BTCUSDT"),
        "get_klines()": lambda: client.get_klines(symbol="BTCUSDT", interval="1m", limit=2),
        "borrow with create_margin_loan()": lambda: client.create_margin_loan(asset="USDT", amount="1"),
    }
    for name, action in actions.items():
        await run_call(name, action)
    for mode in ("cross", "isolated"):
        await trade(client, mode)


asyncio.run(main())
