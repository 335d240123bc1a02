"""Parameters of control operations: derived from a method's signature, checked before the method is called."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType, UnionType
from typing import Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from binance_margin_stream.sandbox.amounts import parse_decimal

__all__ = ["OperationParameter", "ParameterKind", "parse_arguments", "parse_signature"]

ParameterKind = Literal["text", "integer", "number", "real", "flag", "choice", "names", "object"]

_MAX_SHOWN_LENGTH = 40
_FLAGS: dict[object, bool] = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class OperationParameter:
    """A parameter: its name, its kind, and its default."""

    name: str
    kind: ParameterKind
    description: str
    required: bool = True
    default: object = None
    nullable: bool = False
    choices: tuple[str, ...] = ()

    def parse(self, value: object) -> object:
        """Convert a value from JSON, YAML or a command line to what the Python method takes.

        Raises:
            ValueError: names the parameter and what it takes.

        """
        if self.nullable and value in (None, "null"):
            return None
        try:
            return self._parse_kind(value)
        except (ValueError, TypeError, ArithmeticError):
            raise ValueError(f"{self.name} takes {self.expected}") from None

    @property
    def expected(self) -> str:
        """What the parameter takes, for error messages."""
        descriptions: dict[ParameterKind, str] = {
            "text": "a text",
            "integer": "a whole number",
            "number": 'a number such as 12 or "0.5"',
            "real": "a number from 0",
            "flag": "true or false",
            "choice": f"one of {', '.join(self.choices)}",
            "names": "a list of names, or names with commas between them",
            "object": 'a JSON object such as {"e": "balanceUpdate"}',
        }
        return descriptions[self.kind]

    def describe(self) -> dict[str, object]:
        """The parameter as a JSON object."""
        known: dict[str, object] = {"name": self.name, "type": self.kind, "required": self.required}
        if not self.required:
            known["default"] = self.default
        if self.choices:
            known["choices"] = list(self.choices)
        return {**known, "description": self.description}

    def _parse_kind(self, value: object) -> object:
        if self.kind == "flag":
            return value if isinstance(value, bool) else _FLAGS[value] if value in _FLAGS else _reject_value()
        if isinstance(value, bool):
            return _reject_value()
        match self.kind, value:
            case "text", str():
                return value
            case "choice", str() if value in self.choices:
                return value
            case "integer", int() | str():
                return int(value)
            case "real", int() | float() | str():
                return _parse_real(float(value))
            case "number", float():
                # repr gives the digits that were written: 0.1 becomes one tenth, not its binary approximation.
                return parse_decimal(repr(value))
            case "number", int() | str() | Decimal():
                return parse_decimal(value)
            case "names", str():
                return value.split(",")
            case "names", list() if all(isinstance(each, str) for each in value):
                return value
            case "object", Mapping():
                return dict(value)
            case "object", str() if isinstance(read := json.loads(value), dict):
                return read
            case _:
                return _reject_value()


def parse_signature(
    method: Callable[..., object], descriptions: Mapping[str, str], known: Mapping[str, OperationParameter]
) -> tuple[OperationParameter, ...]:
    """The parameters of a method, from its annotations.

    `descriptions` has a text for each parameter that is not in `known`.

    Raises:
        TypeError: an annotation has no JSON equivalent, or `descriptions` lacks a parameter.

    """
    hints = get_type_hints(method)
    return tuple(
        known.get(name) or _build_parameter(given, hints[name], descriptions)
        for name, given in inspect.signature(method).parameters.items()
        if name != "self"
    )


def parse_arguments(parameters: tuple[OperationParameter, ...], given: Mapping[str, object]) -> dict[str, object]:
    """The parsed arguments of a call; a parameter that is left out keeps the method's default.

    Raises:
        ValueError: a parameter is unknown, missing or invalid.

    """
    names = [parameter.name for parameter in parameters]
    for name in given:
        if name not in names:
            raise ValueError(f"no parameter {name[:_MAX_SHOWN_LENGTH]!r}; there are {', '.join(names) or 'none'}")
    for parameter in parameters:
        if parameter.required and parameter.name not in given:
            raise ValueError(f"{parameter.name} is missing: it takes {parameter.expected}")
    return {p.name: p.parse(given[p.name]) for p in parameters if p.name in given}


def _build_parameter(given: inspect.Parameter, hint: object, descriptions: Mapping[str, str]) -> OperationParameter:
    if given.name not in descriptions:
        raise TypeError(f"parameter {given.name} has no description")
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kind, choices = _classify_annotation([option for option in options if option is not NoneType])
    required = given.default is inspect.Parameter.empty
    default = None if required else given.default
    return OperationParameter(
        given.name, kind, descriptions[given.name], required, default, NoneType in options, choices
    )


def _classify_annotation(options: list[object]) -> tuple[ParameterKind, tuple[str, ...]]:
    simple: dict[object, ParameterKind] = {str: "text", int: "integer", float: "real", bool: "flag"}
    match options:
        case [option] if option in simple:
            return simple[option], ()
        case [option] if get_origin(option) is Literal:
            return "choice", get_args(option)
        case [option] if get_origin(option) is Mapping:
            return "object", ()
        case [option] if option == Sequence[str]:
            return "names", ()
        case _ if set(options) == {Decimal, int, str}:
            return "number", ()
        case _:
            raise TypeError(f"{options} has no JSON equivalent")


def _parse_real(value: float) -> float:
    return value if 0 <= value < float("inf") else _reject_value()


def _reject_value() -> NoReturn:
    raise ValueError
