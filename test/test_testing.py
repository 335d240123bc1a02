"""The factories of events for unit tests."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import get_args

import pytest

from binance_margin_stream import AnyItem, ApiTypeError, ApiValueError, UnknownEvent, isolated, testing
from binance_margin_stream.stream.events.models import StreamItem

FACTORIES = [getattr(testing, name) for name in testing.__all__]


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_field_has_a_default_and_any_can_be_given(factory):
    item = factory()

    assert str(item).startswith("cross ")
    assert "?" not in str(item)
    assert StreamItem.from_json(item.to_json()) == item == factory()
    assert factory(account=isolated("BTCUSDT")).account == isolated("BTCUSDT")


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_wrong_name_is_refused(factory):
    with pytest.raises(ApiTypeError, match="has no field 'acount': did you mean 'account'"):
        factory(acount=isolated("BTCUSDT"))


def test_a_wrong_value_is_refused():
    with pytest.raises(ApiValueError, match="quantity is not a decimal number"):
        testing.execution_report(quantity=0.5)
    with pytest.raises(ApiValueError, match="execution_type is not text"):
        testing.execution_report(execution_type=3)


def test_there_is_a_factory_for_every_item_but_unknown_events():
    made = {type(factory()) for factory in FACTORIES}

    assert made == set(get_args(AnyItem)) - {UnknownEvent}
    assert all(inspect.getdoc(factory) for factory in FACTORIES)


@pytest.mark.parametrize(
    ("status", "execution", "filled", "on_book"),
    [
        ("NEW", "NEW", "0", True),
        ("PARTIALLY_FILLED", "TRADE", "1", True),
        ("FILLED", "TRADE", "2", False),
        ("CANCELED", "CANCELED", "0", False),
        ("REJECTED", "REJECTED", "0", False),
        ("EXPIRED", "EXPIRED", "0", False),
    ],
)
def test_a_report_follows_its_status(status, execution, filled, on_book):
    report = testing.execution_report(order_status=status, quantity="2", price="10")

    assert report == testing.execution_report(execution_type=execution, order_status=status, quantity="2", price="10")
    assert (report.execution_type, report.is_on_book) == (execution, on_book)
    assert report.cumulative_filled_quantity == report.last_executed_quantity == Decimal(filled)
    assert report.cumulative_quote_quantity == report.last_quote_quantity == 10 * Decimal(filled)
    assert report.is_trade is (execution == "TRADE")


def test_a_report_of_a_trade_is_that_of_a_filled_order():
    assert testing.execution_report(execution_type="TRADE") == testing.execution_report(order_status="FILLED")
    assert str(testing.execution_report(order_status="FILLED")) == (
        "cross BTCUSDT BUY LIMIT 0.5 @ 60000 FILLED 0.5/0.5, trade 1: 0.5 @ 60000"
    )


def test_given_amounts_of_a_trade_are_kept():
    report = testing.execution_report(
        order_status="PARTIALLY_FILLED",
        quantity="5",
        last_executed_quantity="1",
        last_executed_price="7",
        cumulative_filled_quantity="3",
        trade_id=17,
    )

    assert (report.last_executed_quantity, report.cumulative_filled_quantity, report.trade_id) == (1, 3, 17)
    assert (report.last_quote_quantity, report.cumulative_quote_quantity) == (7, 21)
