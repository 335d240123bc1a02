"""The trading methods of a running sandbox."""

from __future__ import annotations

from decimal import ROUND_UP, Context, Decimal, localcontext

from binance_margin_stream.sandbox import ExchangeRules, Sandbox


def test_the_users_decimal_context_has_no_effect(exchange: Sandbox) -> None:
    with localcontext(Context(prec=3, rounding=ROUND_UP, traps=[])):
        exchange.set_price("BTCUSDT", "61234.56789012")
        order = exchange.place_order("BTCUSDT", "BUY", "MARKET", quantity="1.23456789")
        exchange.borrow("BTC", "0.123456789")
        exchange.charge_interest("0.0001")
        exchange.repay("BTC")
        balances, level = exchange.balances(), exchange.margin_level()
        total = balances["USDT"].total
    assert order.filled_quote == Decimal("1.23456789") * Decimal("61234.56789012")
    assert total == balances["USDT"].free == 1_000_000 - order.filled_quote
    assert balances["BTC"].debt == 0
    assert level == 999


def test_the_smallest_and_the_largest_amount_are_booked_without_loss(exchange: Sandbox) -> None:
    exchange.borrow("ETH", "0.000000000000000001")
    exchange.change_balance("ETH", 999_999_999_999_999)
    assert exchange.balances()["ETH"].total == Decimal("1000000000999999.000000000000000001")
    exchange.repay("ETH")
    exchange.change_balance("ETH", -999_999_999_999_999)
    assert exchange.balances()["ETH"].free == 1_000_000


def test_the_users_decimal_context_has_no_effect_on_what_time_brings() -> None:
    rules = ExchangeRules(hourly_interest_rate=Decimal("0.000123456789"))
    with Sandbox(rules=rules, speed=0) as exchange:
        exchange.borrow("BTC", "12345.678901234")
        with localcontext(Context(prec=3, rounding=ROUND_UP, traps=[])):
            exchange.advance_time(3600)
        with localcontext(Context(prec=50)):
            assert exchange.balances()["BTC"].interest == Decimal("1.52415788")
