"""The operations that control a sandbox: one table for HTTP, scripts and the command line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeVar, cast

from binance_margin_stream.sandbox.control.operation_schema import (
    OperationParameter,
    ParameterKind,
    parse_arguments,
    parse_signature,
)
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS, create_fault
from binance_margin_stream.sandbox.messages import JSON

__all__ = [
    "CURRENT_OPERATION",
    "Operation",
    "OperationCall",
    "OperationTable",
    "OperationTarget",
    "operation",
    "recorded",
]

_Method = TypeVar("_Method", bound=Callable[..., object])

CURRENT_OPERATION: ContextVar[tuple[str, tuple[object, ...], dict[str, object]] | None] = ContextVar(
    "CURRENT_OPERATION", default=None
)
"""Name and arguments of the operation that the caller is running."""

_OPERATION_MARK = "_is_sandbox_operation"

_DESCRIPTIONS = {
    "account": "cross, or the symbol of an isolated account",
    "after_seconds": "delay in seconds of exchange time",
    "amount": "amount of the asset",
    "asset": "such as USDT",
    "connection": "number of the connection to affect; all by default",
    "delta": "amount to add; negative to remove",
    "event": "JSON object, sent unchanged",
    "every_seconds": "average time between two faults, or time between two prices, in seconds of exchange time",
    "for_seconds": "maximum duration in seconds of exchange time",
    "faults": "names of the faults to choose from",
    "kind": "kind of listen key; all kinds of the account by default",
    "level": "margin level, such as 1.1",
    "order_id": "as in the order's events; the newest open order by default",
    "path": "such as /sapi/v1/userListenToken",
    "percent": "standard deviation of a step, in percent of the price",
    "permissions": "some of reading, trading and loan_and_transfer",
    "price": "in the quote asset",
    "probability": "probability for each matching request or event, up to 1",
    "public_key": "public key of an Ed25519 or RSA key pair, in PEM format",
    "quantity": "in the base asset",
    "rate": "fraction of the borrowed amount, such as 0.0001",
    "reason": "reject reason in the execution report",
    "seconds": "seconds of exchange time",
    "seed": "the same seed gives the same faults, or prices",
    "side": "side of the order",
    "status": "such as MARGIN_CALL",
    "stop_price": "price that triggers a stop order",
    "symbol": "such as BTCUSDT",
    "time_in_force": "how long the order stays open",
    "times": "how many matching requests or events; null: all until clear-faults",
    "type": "type of the order",
}

_UID_PARAMETER = OperationParameter("uid", "integer", "number of the user; 1 is the first user", False, 1)
_FAULT_PARAMETER = OperationParameter("fault", "choice", "name of the fault", choices=tuple(NAMED_FAULTS))
_EXCLUDED_PARAMETERS = {
    "api_key": "secrets must not appear on a command line or in a file; uid identifies the user",
    "listen_key": "a secret as well; kind and account identify the key",
    "at_ms": "after_seconds covers it",
}


class OperationTarget(Protocol):
    """What an operation needs of a sandbox beside its own method."""

    def find_api_key(self, uid: int) -> str:
        """The API key of a user; raises `ValueError` for an unknown uid."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that can be run on a sandbox."""

    name: str
    summary: str
    method: Callable[..., object]
    parameters: tuple[OperationParameter, ...]
    build_arguments: Callable[[dict[str, object]], dict[str, object]] = dict
    """Builds the method's arguments from the given ones, after each was checked by itself."""

    def parse_arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """The arguments for `run`.

        Raises:
            ValueError: a parameter is unknown, missing or invalid.

        """
        return self.build_arguments(parse_arguments(self.parameters, given))

    def run(self, target: OperationTarget, arguments: Mapping[str, object]) -> JSON:
        """Run the operation with parsed arguments and return the method's result as JSON.

        Raises:
            ValueError: the operation is not possible now; the message says why.
            RuntimeError: the sandbox is not running.

        """
        known: dict[str, Any] = dict(arguments)
        if "uid" in known:
            known["api_key"] = target.find_api_key(known.pop("uid"))
        return _to_json(self.method(target, **known))

    def describe(self) -> JSON:
        """Name, summary and parameters as a JSON object."""
        return {
            "name": self.name,
            "summary": self.summary,
            "parameters": [_to_json(parameter.describe()) for parameter in self.parameters],
        }


@dataclass(frozen=True, slots=True)
class OperationCall:
    """An operation to run, with its parsed arguments."""

    operation: Operation
    arguments: Mapping[str, object]


class OperationTable:
    """The operations of a handle class by name: its methods with the decorator `operation`.

    A method ``place_order`` becomes the operation ``place-order``; its signature and docstring describe it.
    """

    def __init__(self, handle: type[OperationTarget]) -> None:
        self._handle = handle

    def all(self) -> list[Operation]:
        """All operations, in the order in which the methods are defined."""
        return list(self._by_name.values())

    def get(self, name: str) -> Operation:
        """The operation with this name.

        Raises:
            ValueError: there is none; the message lists the known names.

        """
        found = self._by_name.get(name)
        if found is None:
            raise ValueError(f"no such operation; there are {', '.join(self._by_name)}")
        return found

    @functools.cached_property
    def _by_name(self) -> Mapping[str, Operation]:
        # Built on first use: reading all signatures would delay the start of every sandbox.
        members = [each for base in reversed(self._handle.__mro__) for each in vars(base).values()]
        return {each.name: each for each in map(_build_operation, filter(_is_operation, members))}


def operation(method: _Method) -> _Method:
    """Make a method of a handle an operation, which HTTP requests, scripts and the command line can run."""
    run = recorded(method)
    setattr(run, _OPERATION_MARK, True)
    return run


def recorded(method: _Method) -> _Method:
    """Let a journal know which method of a handle is running, and with which arguments."""

    @functools.wraps(method)
    def run(target: object, *positional: object, **named: object) -> object:
        token = CURRENT_OPERATION.set((method.__name__, positional, named))
        try:
            return method(target, *positional, **named)
        finally:
            CURRENT_OPERATION.reset(token)

    return cast(_Method, run)


def _is_operation(member: object) -> bool:
    return getattr(member, _OPERATION_MARK, False) is True


def _build_operation(method: Callable[..., object]) -> Operation:
    summary = (inspect.getdoc(method) or "").partition("\n")[0].replace("`", "")
    everything = parse_signature(method, {**_DESCRIPTIONS, **_EXCLUDED_PARAMETERS}, {"fault": _FAULT_PARAMETER})
    parameters = tuple(each for each in everything if each.name not in _EXCLUDED_PARAMETERS)
    name = method.__name__.replace("_", "-")
    if _FAULT_PARAMETER in parameters:
        return Operation(name, summary, method, (*parameters, *_fault_parameters().values()), _build_fault_argument)
    if any(each.name == "api_key" for each in everything):
        parameters = (*parameters, _UID_PARAMETER)
    return Operation(name, summary, method, parameters)


@functools.cache
def _fault_parameters() -> Mapping[str, OperationParameter]:
    """The parameters of all named faults."""
    kinds: dict[type, ParameterKind] = {int: "integer", float: "real", str: "text"}
    takers: dict[str, list[str]] = {}
    found: dict[str, OperationParameter] = {}
    for fault in NAMED_FAULTS.values():
        for each in fault.parameters:
            takers.setdefault(each.name, []).append(fault.name)
            kind: ParameterKind = "choice" if each.choices else kinds[type(each.default)]
            description = f"of {', '.join(takers[each.name])}"
            found[each.name] = OperationParameter(each.name, kind, description, required=False, choices=each.choices)
    return found


def _build_fault_argument(given: dict[str, object]) -> dict[str, object]:
    """Replace the name and the parameters of a fault by the fault as a value."""
    own = {name: value for name, value in given.items() if name in _fault_parameters()}
    rest = {name: value for name, value in given.items() if name not in own}
    return {**rest, "fault": create_fault(str(given["fault"]), **own)}  # type: ignore[arg-type]  # parsed as their kind


def _to_json(value: object) -> JSON:
    match value:
        case Decimal():
            return f"{value:f}"
        case None | bool() | str() | int() | float():
            return value
        case Mapping():
            return {str(name): _to_json(each) for name, each in value.items()}
        case list() | tuple():
            return [_to_json(each) for each in value]
        case _ if is_dataclass(value):
            return {field.name: _to_json(getattr(value, field.name)) for field in fields(value)}
        case _:
            raise TypeError(f"{type(value).__name__} cannot be written as JSON")
