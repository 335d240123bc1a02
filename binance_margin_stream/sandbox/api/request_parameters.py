"""Parameters of a REST call: from query and form body to checked values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from binance_margin_stream.sandbox.error_responses import RefusedError

__all__ = ["BOOLEAN", "LISTEN_KEY", "MILLISECONDS", "SIGNATURE", "SYMBOL", "Parameter", "decode", "read"]

SYMBOL = re.compile(r"[A-Z0-9]{1,32}")
LISTEN_KEY = re.compile(r"[\x21-\x7e]{1,512}")
MILLISECONDS = re.compile(r"[0-9]{1,18}")
BOOLEAN = re.compile(r"true|false", re.IGNORECASE)
SIGNATURE = re.compile(r"[A-Za-z0-9+/=_-]{1,1024}")

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ILLEGAL = "Illegal characters found in a parameter."


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that a call knows: its name, what it may look like, and whether it must be there."""

    name: str
    pattern: re.Pattern[str]
    mandatory: bool = False


def read(known: Iterable[Parameter], query: str, body: str) -> dict[str, str]:
    """Read the parameters of query and form body; where both have one, the query's counts.

    Raises:
        RefusedError: -1100 characters, -1101 duplicates, -1102 missing, -1104 not known, -1105 empty.

    """
    by_name = {parameter.name: parameter for parameter in known}
    sent = _split(body) | _split(query)
    _refuse_unknown(sent, by_name)
    for name, value in sent.items():
        _check(by_name[name], value)
    for parameter in by_name.values():
        if parameter.mandatory and parameter.name not in sent:
            raise missing(parameter.name)
    return sent


def missing(name: str) -> RefusedError:
    """The refusal of a call without a parameter that it needs."""
    return RefusedError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def invalid(name: str) -> RefusedError:
    """The refusal of a parameter that looks right and is out of range."""
    return RefusedError(-1130, f"Data sent for parameter '{name}' is not valid.")


def decode(text: str, plus: bool) -> str:
    """Undo percent-encoding; `plus` also turns `+` into a space, as in queries and forms.

    Raises:
        RefusedError: -1100, for broken percent-encoding and for bytes that are not UTF-8.

    """
    if text.isascii() and "%" not in text and "+" not in text:
        return text
    if _BAD_PERCENT.search(text):
        raise RefusedError(-1100, _ILLEGAL)
    if plus:
        text = text.replace("+", " ")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        raise RefusedError(-1100, _ILLEGAL) from None


def _split(encoded: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for pair in encoded.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name = decode(name, plus=True)
        if name in parameters:
            raise RefusedError(-1101, "Duplicate values for a parameter detected.")
        parameters[name] = decode(value, plus=True)
    return parameters


def _refuse_unknown(sent: Mapping[str, str], known: Mapping[str, Parameter]) -> None:
    read_count = sum(name in known for name in sent)
    if read_count < len(sent):
        raise RefusedError(
            -1104,
            f"Not all sent parameters were read; read '{read_count}' parameter(s) but was sent '{len(sent)}'.",
        )


def _check(parameter: Parameter, value: str) -> None:
    if not value:
        raise RefusedError(-1105, f"Parameter '{parameter.name}' was empty.")
    if parameter.pattern.fullmatch(value) is None:
        legal = f"legal range is '^{parameter.pattern.pattern}$'."
        raise RefusedError(-1100, f"Illegal characters found in parameter '{parameter.name}'; {legal}")
