"""Amounts: which values are accepted, and independence of the caller's decimal context."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation, getcontext, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.sandbox.amounts import exact, parse_decimal

numbers = st.one_of(
    st.decimals(),
    st.integers(),
    st.text(max_size=80),
    st.builds("{}e{}".format, st.integers(-99, 99), st.integers(-(10**9), 10**9)),
)


@given(numbers)
def test_an_accepted_number_is_exact_and_short_when_written_out(value: Decimal | int | str) -> None:
    try:
        number = parse_decimal(value)
    except ValueError:
        return
    assert number == Decimal(value)
    assert len(f"{number:f}") <= 15 + 18 + 2


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("1e-999999999", "at most 18 decimals"),
        ("0.0000000000000000001", "at most 18 decimals"),
        ("1e15", "15 digits"),
        (10**15, "15 digits"),
        pytest.param(10**5000, "15 digits", id="int with 5001 digits"),
        ("9" * 5000, "64 characters"),
        ("sNaN", "not a finite number"),
        ("Infinity", "not a finite number"),
        ("much", "not a number: much"),
        (1.5, "Decimal, int or str"),
        (True, "Decimal, int or str"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_reason(value: object, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        parse_decimal(value)  # type: ignore[arg-type]  # that is what is tested


def test_numbers_do_not_depend_on_the_callers_context() -> None:
    untrapped = Context(prec=3, traps=[])
    with localcontext(untrapped):
        assert parse_decimal("123456789.123456789") == Decimal("123456789.123456789")
        with pytest.raises(ValueError, match="not a number"):
            parse_decimal("much")
        assert not getcontext().traps[InvalidOperation]


def test_an_exact_function_leaves_the_callers_context_alone() -> None:
    with localcontext(Context(prec=3)):
        assert exact(lambda: Decimal("1000.1") + 1)() == Decimal("1001.1")
        assert Decimal("1000.1") + 1 == Decimal("1.00E+3")
