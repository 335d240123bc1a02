"""The parameters of a new order, checked by its type, and the order that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, round_to_step
from binance_margin_stream.sandbox.api.endpoint import Call
from binance_margin_stream.sandbox.api.request_parameters import missing_parameter
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.market.filters import SymbolFilters
from binance_margin_stream.sandbox.model.orders import BORROWING_SIDE_EFFECTS, STOP_TYPES, Order
from binance_margin_stream.sandbox.trading.margin_limits import compute_max_borrowable
from binance_margin_stream.sandbox.trading.matching import find_reject_reason

__all__ = ["OrderForm", "build_draft", "check_draft", "check_loan"]

_LIMIT_TYPES = ("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
_TIMED_TYPES = ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")

_MESSAGES = {
    "INSUFFICIENT_BALANCES": "Account has insufficient balance for requested action.",
    "WOULD_MATCH_IMMEDIATELY": "Order would immediately match and take.",
}
_TRIGGER_MESSAGES = {
    "documented": "Order would trigger immediately.",
    "seen": "Stop price would trigger immediately.",
}


@dataclass(frozen=True, slots=True)
class OrderForm:
    """The names of the parameters of one order; in order lists they have a prefix."""

    quantity: str = "quantity"
    quote_quantity: str = "quoteOrderQty"
    price: str = "price"
    stop_price: str = "stopPrice"
    trailing_delta: str = "trailingDelta"
    iceberg_quantity: str = "icebergQty"
    time_in_force: str = "timeInForce"
    client_order_id: str = "newClientOrderId"


def build_draft(call: Call, account: str, side: str, kind: str, form: OrderForm) -> Order:
    """The order that the parameters describe.

    Raises:
        RefusedError: -1102 and -1106 parameters that the type needs or does not take, -1013, -1111, -1124, -1130.

    """
    name = call.parse_symbol()
    market_price = call.state.prices.open_market(name, call.now)
    _check_presence(call, kind, form)
    price, stop_price = call.get_amount(form.price), call.get_amount(form.stop_price)
    quote_quantity = call.get_amount(form.quote_quantity)
    if kind not in _LIMIT_TYPES:
        price = stop_price or market_price
    quantity = call.get_amount(form.quantity)
    if quantity is None:
        quantity = round_to_step((quote_quantity or ZERO) / market_price, call.state.rules.step_size)
    if not quantity or not price or stop_price == ZERO:
        raise RefusedError(-1013, f"Filter failure: {'LOT_SIZE' if not quantity else 'PRICE_FILTER'}")
    time_in_force = call.parameters.get(form.time_in_force, "GTC")
    iceberg = call.get_amount(form.iceberg_quantity) or ZERO
    if iceberg and (time_in_force != "GTC" or kind not in _LIMIT_TYPES):
        raise RefusedError(-1124, "Iceberg orders must be LIMIT orders with timeInForce GTC.")
    return Order(
        order_id=0,
        client_order_id=call.parameters.get(form.client_order_id, ""),
        uid=call.user.uid,
        account=account,
        symbol=name,
        side=side,
        type=kind,
        quantity=quantity,
        price=price,
        created_at=call.now,
        stop_price=stop_price or ZERO,
        time_in_force=time_in_force,
        iceberg_quantity=iceberg,
        quote_quantity=quote_quantity or ZERO,
        trailing_delta=call.get_integer(form.trailing_delta, 0),
        self_trade_prevention=call.parameters.get("selfTradePreventionMode", "NONE"),
        side_effect=_parse_side_effect(call),
        repays_at_cancel=call.is_true("autoRepayAtCancel", default=True),
    )


def check_draft(call: Call, draft: Order, pending: bool = False) -> None:
    """Check a new order; one that waits for another needs no funds, and meets no price yet.

    Raises:
        RefusedError: -1013 filters, -2010 duplicate, funds, price; -3006 the loan is too large.

    """
    orders, key = call.state.orders, (draft.uid, draft.account, draft.symbol)
    same = orders.find_by_client_id(*key, draft.client_order_id) if draft.client_order_id else None
    if same is not None and same.is_open:
        raise RefusedError(-2010, "Duplicate order sent.")
    market_price = call.state.prices.get_price(draft.symbol)
    _, quote = orders.split_symbol(draft.symbol)
    filters = SymbolFilters.create(call.state.rules, quote)
    failure = filters.find_failure(draft, market_price, orders.open_orders_of_account(*key))
    if failure is not None:
        raise RefusedError(-1013, f"Filter failure: {failure}")
    if pending:
        return
    reason = find_reject_reason(call.state, draft, market_price)
    if reason is not None:
        documented = _TRIGGER_MESSAGES[call.state.rules.stop_trigger_message]
        raise RefusedError(-2010, _MESSAGES.get(reason, documented))
    check_loan(call, draft, orders.required_funds(draft, draft.quantity)[1])


def check_loan(call: Call, draft: Order, required: Decimal) -> None:
    """Check that the account may borrow what is missing for an order.

    Raises:
        RefusedError: -3006.

    """
    if draft.side_effect not in BORROWING_SIDE_EFFECTS:
        return
    asset, _ = call.state.orders.required_funds(draft, draft.quantity)
    missing = required - call.state.ledger.get_balance(draft.uid, draft.account, asset).free
    if missing > compute_max_borrowable(call.state, draft.uid, draft.account, asset):
        raise RefusedError(-3006)


def _check_presence(call: Call, kind: str, form: OrderForm) -> None:
    sent = call.parameters
    needed = [form.price] if kind in _LIMIT_TYPES else []
    needed += [form.time_in_force] if kind in _TIMED_TYPES else []
    excluded = [] if kind in _LIMIT_TYPES else [form.price]
    excluded += [] if kind in _TIMED_TYPES else [form.time_in_force]
    if kind in STOP_TYPES:
        if form.stop_price not in sent and form.trailing_delta not in sent:
            raise RefusedError(
                -1102, f"Param '{form.stop_price}' or '{form.trailing_delta}' must be sent, but both were empty/null!"
            )
    else:
        excluded += [form.stop_price, form.trailing_delta]
    if kind == "MARKET":
        if (form.quantity in sent) == (form.quote_quantity in sent):
            raise RefusedError(-1128) if form.quantity in sent else missing_parameter(form.quantity)
    else:
        needed.append(form.quantity)
        excluded.append(form.quote_quantity)
    for name in needed:
        call.get_text(name)
    for name in excluded:
        if name in sent:
            raise RefusedError(-1106, f"Parameter '{name}' sent when not required.")


def _parse_side_effect(call: Call) -> str:
    side_effect = call.parameters.get("sideEffectType", "NO_SIDE_EFFECT")
    if side_effect == "AUTO_BORROW_REPAY" and call.state.rules.auto_borrow_repay == "refused":
        raise RefusedError(-1130, "Data sent for parameter 'sideEffectType' is not valid.")
    return side_effect
