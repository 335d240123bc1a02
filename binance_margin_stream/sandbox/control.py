"""The operations that drive a sandbox from outside: one table, for HTTP, scripts and the command line alike."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from .arguments import Parameter, check, parameters_of

if TYPE_CHECKING:
    from .sandbox import Sandbox

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
    "margin_call",
    "emit",
    "add_account",
    "revoke_api_key",
    "delete_listen_key",
    "retire",
    "reinstate",
    "clear_faults",
    "advance",
)
"""Methods of `Sandbox` that are operations; a method is `place_order`, its operation ``place-order``."""

_ABOUT = {
    "account": "cross, or the symbol of an isolated account",
    "amount": "how much of it",
    "asset": "such as USDT",
    "delta": "what comes in, or below zero what goes out",
    "event": "sent as it is",
    "kind": "which listen key; all of the account's if none is named",
    "level": "margin level, such as 1.1",
    "order_id": "as the order's events say it; the last open order if none is named",
    "path": "such as /sapi/v1/userListenToken",
    "price": "in the quote asset",
    "rate": "part of what was borrowed, such as 0.0001",
    "reason": "as the report tells it",
    "quantity": "in the base asset",
    "seconds": "of exchange time",
    "side": "BUY or SELL",
    "status": "such as MARGIN_CALL",
    "stop_price": "what wakes a stop order up",
    "symbol": "such as BTCUSDT",
    "time_in_force": "GTC, IOC or FOK",
    "type": "such as LIMIT or MARKET",
}

_USER = Parameter("uid", "integer", "user that it happens to, by number; 1 is there from the start", False, 1)
_LEFT_OUT = ("api_key", "listen_key")
"""Secrets have no place on a command line or in a file: a user is named by number, a listen key by its account."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be done to a sandbox."""

    name: str
    summary: str
    method: str
    parameters: tuple[Parameter, ...]

    def check(self, given: Mapping[str, object]) -> dict[str, object]:
        """The arguments for `run`.

        Raises:
            ValueError: a parameter that is unknown, missing, or not what it should be.

        """
        return check(self.parameters, given)

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
    from .sandbox import Sandbox

    function = getattr(Sandbox, method)
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    everything = parameters_of(function, {**_ABOUT, **dict.fromkeys(_LEFT_OUT, "")})
    parameters = tuple(each for each in everything if each.name not in _LEFT_OUT)
    if any(each.name == "api_key" for each in everything):
        parameters = (*parameters, _USER)
    return Operation(method.replace("_", "-"), summary, method, parameters)


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
