"""Rows are read as documented; unknown fields do no harm, and a row that lacks something is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.account.reads.requests import Read, ReadKind, parse_rows
from binance_margin_stream.account.reads.rows import MalformedRowError, parse_order, parse_trade
from binance_margin_stream.stream.accounts import CROSS, isolated

ORDER = {
    "clientOrderId": "a1",
    "cummulativeQuoteQty": "60.0",
    "executedQty": "0.001",
    "icebergQty": "0",
    "isWorking": True,
    "orderId": 42,
    "origQty": "0.002",
    "price": "60000",
    "selfTradePreventionMode": "NONE",
    "side": "BUY",
    "status": "PARTIALLY_FILLED",
    "stopPrice": "0",
    "symbol": "BTCUSDT",
    "isIsolated": False,
    "time": 1,
    "timeInForce": "GTC",
    "type": "LIMIT",
    "updateTime": 2,
}
TRADE = {
    "commission": "0.0000001",
    "commissionAsset": "BTC",
    "id": 9001,
    "isBestMatch": True,
    "isBuyer": True,
    "isMaker": False,
    "orderId": 42,
    "price": "60000.10",
    "qty": "0.001",
    "symbol": "BTCUSDT",
    "isIsolated": False,
    "time": 2,
}
PAIR_SIDE = {"borrowed": "1", "free": "0.1", "interest": "0.5", "locked": "2"}
json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


def test_a_documented_trade_is_read():
    trade = parse_trade(TRADE)
    assert (trade.side, trade.trade_id, trade.order_id) == ("BUY", 9001, 42)
    assert trade.quote_quantity == Decimal("60.00010")
    assert parse_trade({**TRADE, "commission": None, "commissionAsset": None}).commission is None


def test_a_documented_order_is_read_and_what_the_exchange_does_not_know_is_none():
    assert parse_order(ORDER).executed_quantity == Decimal("0.001")
    assert parse_order({**ORDER, "cummulativeQuoteQty": "-1"}).quote_quantity is None
    assert parse_order({**ORDER, "orderId": "42", "time": 1_790_000_000_000_000}).time == 1_790_000_000_000


def test_an_isolated_account_is_read_pair_by_pair():
    pair = {
        "symbol": "BTCUSDT",
        "marginLevel": "2.4",
        "marginLevelStatus": "EXCESSIVE",
        "baseAsset": {"asset": "BTC", **PAIR_SIDE},
        "quoteAsset": {"asset": "USDT", **PAIR_SIDE},
    }
    read = Read(ReadKind.ISOLATED_ACCOUNT, isolated("BTCUSDT"), {"symbols": "BTCUSDT"})
    (row,) = parse_rows(read, [{"assets": [pair]}])
    assert row.symbol == "BTCUSDT"
    assert [balance.interest for balance in row.balances] == [Decimal("0.5")] * 2


@pytest.mark.parametrize(("parse", "row"), [(parse_order, ORDER), (parse_trade, TRADE)])
@given(data=st.data())
def test_a_row_is_read_or_refused_whatever_it_holds(parse, row, data):
    name = data.draw(st.sampled_from(sorted(row)))
    value = data.draw(json_values)
    try:
        parsed = parse({**row, name: value, "new": value})
    except MalformedRowError as error:
        assert name in str(error)  # noqa: PT017  # the other outcome is as good
    else:
        assert parsed.symbol is not None
    missing = {key: each for key, each in row.items() if key != name}
    optional = {"commission", "commissionAsset", "icebergQty", "stopPrice", "isBestMatch", "isIsolated", "isWorking"}
    if name not in optional | {"selfTradePreventionMode"}:
        with pytest.raises(MalformedRowError, match=name):
            parse(missing)


@pytest.mark.parametrize(
    "read",
    [
        Read(ReadKind.MY_TRADES, CROSS, {"symbol": "ETHUSDT"}),
        Read(ReadKind.MY_TRADES, isolated("BTCUSDT"), {"symbol": "BTCUSDT"}),
    ],
)
def test_a_row_that_was_not_asked_for_is_refused(read):
    with pytest.raises(MalformedRowError, match="not asked for"):
        parse_rows(read, [TRADE])


@pytest.mark.parametrize("rows", [[], [ORDER, ORDER]])
def test_one_order_is_one_row(rows):
    with pytest.raises(MalformedRowError):
        parse_rows(Read(ReadKind.ORDER, CROSS, {"symbol": "BTCUSDT", "orderId": 42}), rows)
