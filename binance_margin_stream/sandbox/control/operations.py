"""The operations that drive a sandbox from outside: one table, for HTTP, scripts and the command line alike."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from binance_margin_stream.sandbox.control.operation_schema import Kind, Parameter, check, parameters_of
from binance_margin_stream.sandbox.faults.registry import NAMED, named

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.sandbox import Sandbox

__all__ = ["JSON", "Operation", "operation", "operations"]

JSON: TypeAlias = "Mapping[str, JSON] | list[JSON] | str | int | float | None"
"""What JSON can say; exact amounts are texts."""

_METHODS = (
    "place_order",
    "fill_order",
    "cancel_order",
    "expire_order",
    "reject_order",
    "set_price",
    "borrow",
    "repay",
    "charge_interest",
    "balance_update",
    "external_lock",
    "margin_call",
    "emit",
    "add_account",
    "revoke_api_key",
    "delete_listen_key",
    "retire",
    "reinstate",
    "fail",
    "trouble",
    "stop_trouble",
    "clear_faults",
    "advance",
)
"""Methods of `Sandbox` that are operations; a method is `place_order`, its operation ``place-order``."""

_ABOUT = {
    "account": "cross, or the symbol of an isolated account",
    "amount": "how much of it",
    "asset": "such as USDT",
    "connection": "number of the one that it strikes; all if none is named",
    "delta": "what comes in, or below zero what goes out",
    "event": "sent as it is",
    "every_seconds": "between two faults on average, of exchange time",
    "in_seconds": "of exchange time",
    "kind": "which listen key; all of the account's if none is named",
    "level": "margin level, such as 1.1",
    "only": "faults to choose from",
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

_USER = Parameter("uid", "integer", "user that it happens to, by number; 1 is there from the start", False, 1)
_FAULT = Parameter("fault", "choice", "what goes wrong", choices=tuple(NAMED))
_LEFT_OUT = {
    "api_key": "a secret has no place on a command line or in a file: users go by number",
    "listen_key": "a secret, too: listen keys go by their account",
    "at_ms": "in_seconds says it",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be done to a sandbox."""

    name: str
    summary: str
    method: str
    parameters: tuple[Parameter, ...]
    prepare: Callable[[dict[str, object]], dict[str, object]] = dict
    """Makes the method's arguments from those that were given, each of which is right by itself."""

    def check(self, given: Mapping[str, object]) -> dict[str, object]:
        """The arguments for `run`.

        Raises:
            ValueError: a parameter that is unknown, missing, or not what it should be.

        """
        return self.prepare(check(self.parameters, given))

    def run(self, sandbox: Sandbox, arguments: Mapping[str, object]) -> JSON:
        """Do it with checked arguments; returns what the Python method returns, as JSON.

        Raises:
            ValueError: the sandbox cannot do that now, and why.
            RuntimeError: the sandbox is not running.

        """
        known = dict(arguments)
        if (uid := known.pop("uid", None)) is not None:
            known["api_key"] = _api_key(sandbox, uid)
        return _plain(getattr(sandbox, self.method)(**known))

    def described(self) -> JSON:
        """Name, summary and parameters as a JSON object."""
        return {
            "name": self.name,
            "summary": self.summary,
            "parameters": [_plain(parameter.described()) for parameter in self.parameters],
        }


@functools.cache
def operations() -> Mapping[str, Operation]:
    """Every operation by name."""
    return {each.name: each for each in map(_operation, _METHODS)}


def operation(name: str) -> Operation:
    """The operation with this name.

    Raises:
        ValueError: there is none; the text names those that there are.

    """
    found = operations().get(name)
    if found is None:
        raise ValueError(f"no such operation; there are {', '.join(operations())}")
    return found


def _operation(method: str) -> Operation:
    from binance_margin_stream.sandbox.sandbox import Sandbox

    function = getattr(Sandbox, method)
    summary = (inspect.getdoc(function) or "").partition("\n")[0].replace("`", "")
    everything = parameters_of(function, {**_ABOUT, **_LEFT_OUT}, {"fault": _FAULT})
    parameters = tuple(each for each in everything if each.name not in _LEFT_OUT)
    name = method.replace("_", "-")
    if _FAULT in parameters:
        return Operation(name, summary, method, (*parameters, *_of_faults().values()), _with_fault)
    if any(each.name == "api_key" for each in everything):
        parameters = (*parameters, _USER)
    return Operation(name, summary, method, parameters)


@functools.cache
def _of_faults() -> Mapping[str, Parameter]:
    """The parameters that faults of their own take."""
    kinds: dict[type, Kind] = {int: "integer", float: "real", str: "text"}
    takers: dict[str, list[str]] = {}
    found: dict[str, Parameter] = {}
    for fault in NAMED.values():
        for each in fault.parameters:
            takers.setdefault(each.name, []).append(fault.name)
            kind: Kind = "choice" if each.choices else kinds[type(each.default)]
            about = f"of {', '.join(takers[each.name])}"
            found[each.name] = Parameter(each.name, kind, about, required=False, choices=each.choices)
    return found


def _with_fault(given: dict[str, object]) -> dict[str, object]:
    """The fault as a value, made from its name and the parameters that are its own."""
    own = {name: value for name, value in given.items() if name in _of_faults()}
    rest = {name: value for name, value in given.items() if name not in own}
    return {**rest, "fault": named(str(given["fault"]), **own)}  # type: ignore[arg-type]  # each was read as its kind


def _api_key(sandbox: Sandbox, uid: object) -> str:
    users = sandbox.accounts
    for user in users:
        if user.uid == uid:
            return user.api_key
    raise ValueError(f"uid takes the number of a user: {', '.join(str(user.uid) for user in users)}")


def _plain(value: object) -> JSON:
    match value:
        case Decimal():
            return f"{value:f}"
        case None | bool() | str() | int() | float():
            return value
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _ if is_dataclass(value):
            return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")
