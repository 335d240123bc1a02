"""The operations that drive a sandbox from outside: one table, for HTTP, scripts and the command line alike."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from binance_margin_stream.sandbox.control.operation_schema import (
    OperationParameter,
    ParameterKind,
    parse_arguments,
    parse_signature,
)
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS, create_fault

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.sandbox import Sandbox

__all__ = ["JSON", "Operation", "get_operation", "get_operations"]

JSON: TypeAlias = "Mapping[str, JSON] | list[JSON] | str | int | float | None"
"""What JSON can say; exact amounts are texts."""

_METHOD_NAMES = (
    "place_order",
    "fill_order",
    "cancel_order",
    "expire_order",
    "reject_order",
    "set_price",
    "borrow",
    "repay",
    "charge_interest",
    "change_balance",
    "change_external_lock",
    "send_margin_call",
    "send_event",
    "add_user",
    "revoke_api_key",
    "delete_listen_key",
    "retire_endpoint",
    "restore_endpoint",
    "inject_fault",
    "start_random_faults",
    "stop_random_faults",
    "clear_faults",
    "advance_time",
)
"""Methods of `Sandbox` that are operations; a method is `place_order`, its operation ``place-order``."""

_DESCRIPTIONS = {
    "account": "cross, or the symbol of an isolated account",
    "amount": "how much of it",
    "asset": "such as USDT",
    "connection": "number of the one that it strikes; all if none is named",
    "delta": "what comes in, or below zero what goes out",
    "event": "sent as it is",
    "every_seconds": "between two faults on average, of exchange time",
    "after_seconds": "of exchange time, before it happens",
    "kind": "which listen key; all of the account's if none is named",
    "level": "margin level, such as 1.1",
    "faults": "names of those to choose from",
    "order_id": "as the order's events say it; the youngest open order if none is named",
    "path": "such as /sapi/v1/userListenToken",
    "price": "in the quote asset",
    "probability": "with which each occasion is taken, up to 1",
    "quantity": "in the base asset",
    "rate": "part of what was borrowed, such as 0.0001",
    "reason": "as the report tells it",
    "seconds": "of exchange time",
    "seed": "the same one gives the same faults",
    "side": "BUY or SELL",
    "status": "such as MARGIN_CALL",
    "stop_price": "what wakes a stop order up",
    "symbol": "such as BTCUSDT",
    "time_in_force": "GTC, IOC or FOK",
    "times": "how many occasions it takes; null for all until clear-faults",
    "type": "such as LIMIT or MARKET",
}

_UID_PARAMETER = OperationParameter(
    "uid", "integer", "user that it happens to, by number; 1 is there from the start", False, 1
)
_FAULT_PARAMETER = OperationParameter("fault", "choice", "what goes wrong", choices=tuple(NAMED_FAULTS))
_EXCLUDED_PARAMETERS = {
    "api_key": "a secret has no place on a command line or in a file: users go by number",
    "listen_key": "a secret, too: listen keys go by their account",
    "at_ms": "after_seconds says it",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be done to a sandbox."""

    name: str
    summary: str
    method: str
    parameters: tuple[OperationParameter, ...]
    build_arguments: Callable[[dict[str, object]], dict[str, object]] = dict
    """Makes the method's arguments from those that were given, each of which is right by itself."""

    def parse_arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """The arguments for `run`.

        Raises:
            ValueError: a parameter that is unknown, missing, or not what it should be.

        """
        return self.build_arguments(parse_arguments(self.parameters, given))

    def run(self, sandbox: Sandbox, arguments: Mapping[str, object]) -> JSON:
        """Do it with checked arguments; returns what the Python method returns, as JSON.

        Raises:
            ValueError: the sandbox cannot do that now, and why.
            RuntimeError: the sandbox is not running.

        """
        known = dict(arguments)
        if (uid := known.pop("uid", None)) is not None:
            known["api_key"] = _find_api_key(sandbox, uid)
        return _to_json(getattr(sandbox, self.method)(**known))

    def describe(self) -> JSON:
        """Name, summary and parameters as a JSON object."""
        return {
            "name": self.name,
            "summary": self.summary,
            "parameters": [_to_json(parameter.describe()) for parameter in self.parameters],
        }


@functools.cache
def get_operations() -> Mapping[str, Operation]:
    """Every operation by name."""
    return {each.name: each for each in map(_build_operation, _METHOD_NAMES)}


def get_operation(name: str) -> Operation:
    """The operation with this name.

    Raises:
        ValueError: there is none; the text names those that there are.

    """
    found = get_operations().get(name)
    if found is None:
        raise ValueError(f"no such operation; there are {', '.join(get_operations())}")
    return found


def _build_operation(method: str) -> Operation:
    from binance_margin_stream.sandbox.sandbox import Sandbox

    function = getattr(Sandbox, method)
    summary = (inspect.getdoc(function) or "").partition("\n")[0].replace("`", "")
    everything = parse_signature(function, {**_DESCRIPTIONS, **_EXCLUDED_PARAMETERS}, {"fault": _FAULT_PARAMETER})
    parameters = tuple(each for each in everything if each.name not in _EXCLUDED_PARAMETERS)
    name = method.replace("_", "-")
    if _FAULT_PARAMETER in parameters:
        return Operation(name, summary, method, (*parameters, *_fault_parameters().values()), _build_fault_argument)
    if any(each.name == "api_key" for each in everything):
        parameters = (*parameters, _UID_PARAMETER)
    return Operation(name, summary, method, parameters)


@functools.cache
def _fault_parameters() -> Mapping[str, OperationParameter]:
    """The parameters that faults of their own take."""
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
    """The fault as a value, made from its name and the parameters that are its own."""
    own = {name: value for name, value in given.items() if name in _fault_parameters()}
    rest = {name: value for name, value in given.items() if name not in own}
    return {**rest, "fault": create_fault(str(given["fault"]), **own)}  # type: ignore[arg-type]  # each was read as its kind


def _find_api_key(sandbox: Sandbox, uid: object) -> str:
    users = sandbox.users
    for user in users:
        if user.uid == uid:
            return user.api_key
    raise ValueError(f"uid takes the number of a user: {', '.join(str(user.uid) for user in users)}")


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
            raise TypeError(f"{type(value).__name__} has no form in JSON")
