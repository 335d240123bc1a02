"""Sums of fills are claimed only where they are certain, in whatever order fills become known."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.account.state.order_sums import Amounts, KnownFill, OrderSums

quantities = st.lists(st.integers(1, 9).map(Decimal), min_size=1, max_size=7)


def make_fills(amounts):
    """Fills of an order with sparse ids, and the sum at each."""
    fills, total = [], Amounts(Decimal(0), Decimal(0))
    for number, quantity in enumerate(amounts, 1):
        amount = Amounts(quantity, quantity * 100)
        total = total.plus(amount)
        fills.append((KnownFill(number * 7, number * 1000, amount), total))
    return fills


@given(quantities, st.data())
def test_no_sum_is_claimed_while_a_fill_is_missing(amounts, data):
    fills = make_fills(amounts)
    missing = data.draw(st.integers(0, len(fills) - 1))
    sums = OrderSums()
    sums.on_row(fills[-1][1].quantity, 10_000, 1)
    sums.add(fill for number, (fill, _) in enumerate(fills) if number != missing)
    assert not sums.prove().is_complete
    assert sums.prove().cumulative == {}
    assert sums.missing == fills[missing][0].amounts.quantity


@given(quantities, st.data())
def test_all_sums_are_claimed_once_all_fills_are_known(amounts, data):
    fills = make_fills(amounts)
    sums = OrderSums()
    for fill, _ in data.draw(st.permutations(fills)):
        sums.add([fill])
    sums.on_row(fills[-1][1].quantity, 10_000, 1)
    proof = sums.prove()
    assert proof.is_complete
    assert proof.cumulative == {fill.trade_id: total for fill, total in fills}
    sums.collapse()
    assert sums.adds_up
    assert sums.base == fills[-1][1]


@given(quantities)
def test_a_quantity_that_may_be_stale_proves_nothing_until_it_is_read_again(amounts):
    fills = make_fills(amounts)
    sums = OrderSums()
    sums.add(fill for fill, _ in fills)
    sums.on_row(fills[-1][1].quantity, 0, 20_000)
    assert not sums.prove().is_complete
    sums.on_row(fills[-1][1].quantity, 0, 30_000)
    assert sums.prove().is_complete


@given(quantities, st.data())
def test_reports_and_rows_of_the_same_fills_add_up_in_any_mixture(amounts, data):
    fills = make_fills(amounts)
    sums = OrderSums()
    for fill, total in data.draw(st.permutations(fills)):
        if data.draw(st.booleans()):
            sums.on_report(KnownFill(fill.trade_id, fill.time, fill.amounts, total), total)
        else:
            sums.add([fill])
    sums.on_row(fills[-1][1].quantity, 10_000, 1)
    assert sums.prove().is_complete
    sums.collapse()
    assert sums.base == fills[-1][1]


def test_a_base_that_was_read_proves_nothing_until_all_fills_were_read():
    sums = OrderSums(Amounts(Decimal(3), Decimal(300)), last_fill_at=500)
    fill = KnownFill(7, 400, Amounts(Decimal(3), Decimal(300)))
    sums.add([fill])
    assert sums.needs_all_fills
    assert sums.prove().cumulative == {}
    sums.on_row(Decimal(3), 500, 1)
    sums.add_all([fill])
    assert sums.prove().cumulative == {7: Amounts(Decimal(3), Decimal(300))}
