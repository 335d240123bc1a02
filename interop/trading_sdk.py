"""The exchange's own SDK: every trading call that the sandbox serves; its response models validate each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_margin_trading.margin_trading import MarginTrading
from binance_sdk_margin_trading.rest_api import models
from step import API_KEY, API_SECRET, REST, report_version, run_call

CLIENT: Any = MarginTrading(
    config_rest_api=ConfigurationRestAPI(api_key=API_KEY, api_secret=API_SECRET, base_path=REST)
).rest_api
READS = (
    "get_all_cross_margin_pairs",
    "get_all_isolated_margin_symbol",
    "get_all_margin_assets",
    "get_bnb_burn_status",
    "get_cross_margin_transfer_history",
    "get_force_liquidation_record",
    "get_interest_history",
    "get_summary_of_margin_account",
    "query_cross_isolated_margin_capital_flow",
    "query_cross_margin_account_details",
    "query_enabled_isolated_margin_account_limit",
    "query_isolated_margin_account_info",
)
OTO = {
    "symbol": "BTCUSDT",
    "working_type": "LIMIT",
    "working_side": "BUY",
    "working_price": 95.0,
    "working_quantity": 1.0,
    "working_time_in_force": "GTC",
    "pending_side": "SELL",
    "pending_quantity": 1.0,
}


async def trade(mode: str) -> None:
    isolated = {"is_isolated": "TRUE" if mode == "isolated" else "FALSE"}
    of_account = {**isolated, "symbol": "BTCUSDT"} if mode == "isolated" else isolated
    of_symbol = {**isolated, "symbol": "BTCUSDT"}
    last: dict[str, Any] = {}

    def create(**parameters: object) -> None:
        side = models.MarginAccountNewOrderSideEnum["BUY"]
        last["id"] = CLIENT.margin_account_new_order(**of_symbol, side=side, quantity=0.5, **parameters).data().order_id

    def create_oco() -> None:
        side = models.MarginAccountNewOcoSideEnum["SELL"]
        answer = CLIENT.margin_account_new_oco(**of_symbol, side=side, quantity=0.5, price=110.0, stop_price=95.0)
        last["list"] = answer.data().order_list_id

    gtc = models.MarginAccountNewOrderTimeInForceEnum["GTC"]
    actions: dict[str, Callable[[], object]] = {
        "create a limit order": lambda: create(type="LIMIT", price=90.0, time_in_force=gtc),
        "query it": lambda: CLIENT.query_margin_accounts_order(**of_symbol, order_id=last["id"]),
        "query open orders": lambda: CLIENT.query_margin_accounts_open_orders(**of_account),
        "cancel it": lambda: CLIENT.margin_account_cancel_order(**of_symbol, order_id=last["id"]),
        "create a market order": lambda: create(type="MARKET"),
        "query trades": lambda: CLIENT.query_margin_accounts_trade_list(**of_symbol),
        "query all orders": lambda: CLIENT.query_margin_accounts_all_orders(**of_symbol),
        "create an OCO": create_oco,
        "query it as a list": lambda: CLIENT.query_margin_accounts_oco(**of_account, order_list_id=last["list"]),
        "query open lists": lambda: CLIENT.query_margin_accounts_open_oco(**of_account),
        "query all lists": lambda: CLIENT.query_margin_accounts_all_oco(**of_account),
        "cancel the OCO": lambda: CLIENT.margin_account_cancel_oco(**of_symbol, order_list_id=last["list"]),
        "create an OTO": lambda: CLIENT.margin_account_new_oto(
            **OTO,
            **isolated,
            working_iceberg_qty=0.0,
            pending_type="LIMIT",
            pending_price=105.0,
            pending_time_in_force="GTC",
        ),
        "create an OTOCO": lambda: CLIENT.margin_account_new_otoco(
            **OTO,
            **isolated,
            pending_above_type="LIMIT_MAKER",
            pending_above_price=105.0,
            pending_below_type="STOP_LOSS",
            pending_below_stop_price=80.0,
        ),
        "cancel all orders": lambda: CLIENT.margin_account_cancel_all_open_orders_on_a_symbol(**of_symbol),
        "borrow": lambda: CLIENT.margin_account_borrow_repay(**of_symbol, asset="USDT", amount="100", type="BORROW"),
        "query loans": lambda: CLIENT.query_borrow_repay_records_in_margin_account(type="BORROW"),
        "query prevented matches": lambda: CLIENT.query_prevented_matches(**of_symbol, order_id=1),
        "query order counts": lambda: CLIENT.query_current_margin_order_count_usage(**of_account),
    }
    for name, action in actions.items():
        await run_call(f"{mode}: {name}", lambda action=action: get_data(action))


def get_data(action: Callable[[], object]) -> object:
    """The validated data of an answer; some actions have read it already."""
    answer = action()
    return answer.data() if hasattr(answer, "data") else answer


async def main() -> None:
    report_version("binance-sdk-margin-trading")
    for name in READS:
        await run_call(f"{name}()", lambda name=name: getattr(CLIENT, name)().data())
    of_asset = ("query_margin_interest_rate_history", "query_max_borrow", "query_max_transfer_out_amount")
    for name in of_asset:
        await run_call(f"{name}()", lambda name=name: getattr(CLIENT, name)(asset="USDT").data())
    for mode in ("cross", "isolated"):
        await trade(mode)
    for name in ("enable_isolated_margin_account", "disable_isolated_margin_account"):
        await run_call(f"{name}()", lambda name=name: getattr(CLIENT, name)("ETHUSDT").data())


asyncio.run(main())
