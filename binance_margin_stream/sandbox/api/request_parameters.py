"""Parameters of a REST call: parsing and validation of query and form body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from binance_margin_stream.sandbox.error_responses import ERROR_MESSAGES, RefusedError

__all__ = [
    "API_KEY_PATTERN",
    "BOOLEAN_PATTERN",
    "LISTEN_KEY_PATTERN",
    "MILLISECONDS_PATTERN",
    "SIGNATURE_PATTERN",
    "SYMBOL_PATTERN",
    "RequestParameter",
    "check_parameters",
    "invalid_parameter",
    "missing_parameter",
    "parse_parameters",
    "percent_decode",
    "read_parameters",
]

SYMBOL_PATTERN = re.compile(r"[^\Wa-z]{1,50}")
"""Symbols may contain letters of any script, such as ``币安人生USDT``, but no ASCII lower case."""
LISTEN_KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,512}")
MILLISECONDS_PATTERN = re.compile(r"[0-9]{1,18}")
BOOLEAN_PATTERN = re.compile(r"true|false", re.IGNORECASE)
API_KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,512}")
SIGNATURE_PATTERN = re.compile(r"[A-Za-z0-9+/=_-]{1,1024}")

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ILLEGAL_CHARACTERS = "Illegal characters found in a parameter."


@dataclass(frozen=True, slots=True)
class RequestParameter:
    """A parameter of a call: its name, its pattern, and whether it is mandatory."""

    name: str
    pattern: re.Pattern[str]
    mandatory: bool = False
    code: int = -1100
    """The error code of a value that does not match."""


def parse_parameters(known: Iterable[RequestParameter], query: str, body: str) -> dict[str, str]:
    """Parse the parameters of query and form body; the query takes precedence.

    Raises:
        RefusedError: -1100 characters, -1101 duplicate, -1102 missing, -1104 unknown, -1105 empty.

    """
    by_name = {parameter.name: parameter for parameter in known}
    sent = _parse_pairs(body) | _parse_pairs(query)
    _reject_unknown(sent, by_name)
    check_parameters(sent, by_name)
    return sent


def read_parameters(query: str, body: str) -> dict[str, str]:
    """The parameters as far as they can be read, unchecked; none if they are malformed."""
    try:
        return _parse_pairs(body) | _parse_pairs(query)
    except RefusedError:
        return {}


def check_parameters(sent: Mapping[str, str], known: Mapping[str, RequestParameter]) -> None:
    """Check the values of parameters, all of which are known, and that the mandatory ones are there.

    Raises:
        RefusedError: -1100 characters, -1102, -1105 empty.

    """
    for name, value in sent.items():
        _validate_value(known[name], value)
    for parameter in known.values():
        if parameter.mandatory and parameter.name not in sent:
            raise missing_parameter(parameter.name)


def missing_parameter(name: str) -> RefusedError:
    """The error for a missing mandatory parameter."""
    return RefusedError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def invalid_parameter(name: str) -> RefusedError:
    """The error for a parameter that is out of range."""
    return RefusedError(-1130, f"Data sent for parameter '{name}' is not valid.")


def percent_decode(text: str, plus_as_space: bool) -> str:
    """Decode percent-encoding; `plus_as_space` also decodes `+`, as in queries and forms.

    Raises:
        RefusedError: -1100, for invalid percent-encoding and for bytes that are not UTF-8.

    """
    if text.isascii() and "%" not in text and "+" not in text:
        return text
    if _BAD_PERCENT.search(text):
        raise RefusedError(-1100, _ILLEGAL_CHARACTERS)
    if plus_as_space:
        text = text.replace("+", " ")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        raise RefusedError(-1100, _ILLEGAL_CHARACTERS) from None


def _parse_pairs(encoded: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for pair in encoded.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name = percent_decode(name, plus_as_space=True)
        if name in parameters:
            raise RefusedError(-1101, "Duplicate values for a parameter detected.")
        parameters[name] = percent_decode(value, plus_as_space=True)
    return parameters


def _reject_unknown(sent: Mapping[str, str], known: Mapping[str, RequestParameter]) -> None:
    read_count = sum(name in known for name in sent)
    if read_count < len(sent):
        raise RefusedError(
            -1104,
            f"Not all sent parameters were read; read '{read_count}' parameter(s) but was sent '{len(sent)}'.",
        )


def _validate_value(parameter: RequestParameter, value: str) -> None:
    if not value:
        raise RefusedError(-1105, f"Parameter '{parameter.name}' was empty.")
    if parameter.pattern.fullmatch(value) is not None:
        return
    if parameter.code == -1100:
        legal = f"legal range is '^{parameter.pattern.pattern}$'."
        raise RefusedError(-1100, f"Illegal characters found in parameter '{parameter.name}'; {legal}")
    raise RefusedError(parameter.code) if parameter.code in ERROR_MESSAGES else invalid_parameter(parameter.name)
