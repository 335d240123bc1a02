"""Kinds of parameters of the trading calls."""

from __future__ import annotations

import re
from collections.abc import Iterable

from binance_margin_stream.sandbox.api.request_parameters import BOOLEAN_PATTERN, SYMBOL_PATTERN, RequestParameter

__all__ = ["PAGE", "TIME_RANGE", "amount", "choice", "flag", "integer", "symbol", "text"]

_INTEGER = re.compile(r"[0-9]{1,18}")
_AMOUNT = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_CLIENT_ID = re.compile(r"[\w.:/-]{1,36}")


def symbol(name: str = "symbol", *, mandatory: bool = False) -> RequestParameter:
    """A symbol or an asset."""
    return RequestParameter(name, SYMBOL_PATTERN, mandatory)


def integer(name: str, *, mandatory: bool = False) -> RequestParameter:
    """A whole number from 0."""
    return RequestParameter(name, _INTEGER, mandatory)


def amount(name: str, *, mandatory: bool = False) -> RequestParameter:
    """A decimal number from 0."""
    return RequestParameter(name, _AMOUNT, mandatory)


def flag(name: str, *, mandatory: bool = False) -> RequestParameter:
    """``true`` or ``false``, in any case."""
    return RequestParameter(name, BOOLEAN_PATTERN, mandatory)


def text(name: str, *, mandatory: bool = False, pattern: re.Pattern[str] = _CLIENT_ID) -> RequestParameter:
    """A text, by default a client order id."""
    return RequestParameter(name, pattern, mandatory)


def choice(name: str, choices: Iterable[str], *, mandatory: bool = False, code: int = -1130) -> RequestParameter:
    """One of several values; any other is refused with a code."""
    return RequestParameter(name, re.compile("|".join(choices)), mandatory, code)


TIME_RANGE = (integer("startTime"), integer("endTime"))
"""The time range of a query, in milliseconds."""

PAGE = (integer("current"), integer("size"))
"""Page and page size of a history."""
