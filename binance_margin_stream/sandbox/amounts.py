"""Amounts of money: exact, finite and of limited size."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal, InvalidOperation

__all__ = ["ZERO", "Number", "parse_decimal", "parse_positive", "round_down", "round_up"]

Number = Decimal | int | str
"""A quantity, price or amount; floats are not exact."""

ZERO = Decimal(0)
_UPPER_BOUND = Decimal(10) ** 15
_STEP = Decimal("0.00000001")


def parse_decimal(value: Number) -> Decimal:
    """Convert to an exact number.

    Raises:
        ValueError: a float, not a number, not finite, or more than 15 digits before the decimal point.

    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise ValueError("amounts are Decimal, int or str")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"not a number: {value}") from None
    if not number.is_finite() or abs(number) >= _UPPER_BOUND:
        raise ValueError(f"number out of range: {value}")
    return number


def parse_positive(value: Number) -> Decimal:
    """Convert to an exact number above zero.

    Raises:
        ValueError: as `parse_decimal`, and for zero and below.

    """
    number = parse_decimal(value)
    if number <= ZERO:
        raise ValueError("the amount has to be above zero")
    return number


def round_down(number: Decimal) -> Decimal:
    """Round to the exchange's eight decimals, towards zero."""
    return number.quantize(_STEP, ROUND_DOWN)


def round_up(number: Decimal) -> Decimal:
    """Round to the exchange's eight decimals, away from zero."""
    return number.quantize(_STEP, ROUND_UP)
