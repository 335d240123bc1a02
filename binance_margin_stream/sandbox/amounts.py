"""Amounts of money: exact, finite and of limited size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import ParamSpec, TypeVar

__all__ = [
    "ZERO",
    "Number",
    "add_exact",
    "exact",
    "format_amount",
    "parse_decimal",
    "parse_positive",
    "round_down",
    "round_to_step",
    "round_up",
    "subtract_exact",
]

Number = Decimal | int | str
"""A quantity, price or amount; floats are not exact."""

ZERO = Decimal(0)

_MAX_INTEGER_DIGITS = 15
_MAX_DECIMALS = 18
_MAX_LENGTH = 64
_STEP = Decimal("0.00000001")
# A quantity times a price has at most 66 digits.
_CONTEXT = Context(prec=100, traps=[DivisionByZero, InvalidOperation, Overflow])

_P = ParamSpec("_P")
_T = TypeVar("_T")


def exact(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Run a function with a decimal context of its own: the caller may have changed precision, rounding or traps."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with localcontext(_CONTEXT):
            return function(*args, **kwargs)

    return run


def parse_decimal(value: Number) -> Decimal:
    """Convert to an exact number.

    Raises:
        ValueError: a float, not a number, not finite, more than 15 digits before the decimal point or 18 after it.

    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise ValueError("amounts are Decimal, int or str")
    if isinstance(value, str) and len(value) > _MAX_LENGTH:
        raise ValueError(f"a number has at most {_MAX_LENGTH} characters")
    if isinstance(value, int) and abs(value) >= 10**_MAX_INTEGER_DIGITS:
        raise ValueError(f"a number has at most {_MAX_INTEGER_DIGITS} digits before the decimal point")
    return _check_size(_convert(value))


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


def round_to_step(number: Decimal, step: Decimal) -> Decimal:
    """Round to a multiple of a step, towards zero."""
    return number // step * step


def format_amount(number: Decimal) -> str:
    """Eight decimals and no exponent, as the exchange formats amounts."""
    # Not `exact`: one response has dozens of amounts, and entering a context takes longer than this.
    return format(number.quantize(_STEP, context=_CONTEXT), "f")


def add_exact(first: Decimal, second: Decimal) -> Decimal:
    """The sum, whatever the caller's decimal context is."""
    return _CONTEXT.add(first, second)


def subtract_exact(first: Decimal, second: Decimal) -> Decimal:
    """The difference, whatever the caller's decimal context is."""
    return _CONTEXT.subtract(first, second)


@exact
def _convert(value: Number) -> Decimal:
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError(f"not a number: {value}") from None


def _check_size(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ValueError(f"not a finite number: {number}")
    # The exponent is checked first: writing out 1e-999999999 would take a gigabyte.
    if number and number.adjusted() >= _MAX_INTEGER_DIGITS:
        raise ValueError(f"a number has at most {_MAX_INTEGER_DIGITS} digits before the decimal point")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_MAX_DECIMALS:
        raise ValueError(f"a number has at most {_MAX_DECIMALS} decimals")
    return number if number else ZERO
