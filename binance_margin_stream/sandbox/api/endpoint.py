"""What a REST call is: its path, security, weight, parameters and handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from binance_margin_stream.sandbox.amounts import parse_decimal
from binance_margin_stream.sandbox.api.request_parameters import (
    RequestParameter,
    invalid_parameter,
    missing_parameter,
    read_parameters,
)
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS, User

__all__ = ["Call", "Cost", "Endpoint", "Handler", "Parameters", "Scope", "Security"]

Parameters = Mapping[str, str]
Scope = Literal["IP", "UID"]
Security = Literal["NONE", "USER_STREAM", "MARKET_DATA", "USER_DATA", "TRADE", "MARGIN"]
"""NONE needs no key; USER_STREAM and MARKET_DATA need a key, and a signature is checked if there is one; the others
need a signature."""

Cost = tuple[int, Scope]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that passed the checks of the gateway."""

    state: ExchangeState
    user: User
    parameters: Parameters
    now: int
    """Exchange time in milliseconds."""

    def get_text(self, name: str) -> str:
        """A mandatory parameter, which may be mandatory for some values of others only.

        Raises:
            RefusedError: -1102.

        """
        value = self.parameters.get(name)
        if value is None:
            raise missing_parameter(name)
        return value

    def get_integer(self, name: str, default: int, maximum: int | None = None) -> int:
        """A whole number.

        Raises:
            RefusedError: -1130, above the maximum.

        """
        value = int(self.parameters.get(name, default))
        if maximum is not None and not 1 <= value <= maximum:
            raise invalid_parameter(name)
        return value

    def get_amount(self, name: str) -> Decimal | None:
        """An amount, or None.

        Raises:
            RefusedError: -1111, too precise.

        """
        text = self.parameters.get(name)
        if text is None:
            return None
        try:
            value = parse_decimal(text)
        except ValueError:
            raise RefusedError(-1111) from None
        if len(text.partition(".")[2].rstrip("0")) > _MAX_DECIMALS:
            raise RefusedError(-1111)
        return value

    def is_true(self, name: str, default: bool = False) -> bool:
        """A flag; the exchange accepts any case."""
        value = self.parameters.get(name)
        return default if value is None else value.lower() == "true"

    def parse_symbol(self, name: str = "symbol") -> str:
        """A mandatory symbol that exists.

        Raises:
            RefusedError: -1102, -1121.

        """
        symbol = self.get_text(name)
        if self.state.rules.split_symbol(symbol) is None or self.state.availability.is_delisted(symbol):
            raise RefusedError(-1121)
        return symbol

    def parse_account(self) -> str:
        """The account of ``isIsolated`` and ``symbol``.

        Raises:
            RefusedError: -1102, -1121, and -3003 or -11001 for an account that does not exist.

        """
        return self._check_account(self.parse_symbol() if self.is_true("isIsolated") else CROSS)

    def parse_record_account(self, name: str = "isolatedSymbol") -> str:
        """The account of the record calls: the symbol of the isolated account, or else the cross account.

        Raises:
            RefusedError: as `parse_account`.

        """
        return self._check_account(self.parse_symbol(name) if name in self.parameters else CROSS)

    def parse_asset(self, account: str = CROSS, name: str = "asset") -> str:
        """A mandatory asset that exists, and belongs to the account.

        Raises:
            RefusedError: -1102, -3027.

        """
        asset = self.get_text(name)
        assets = self.state.prices.assets() if account == CROSS else self.state.orders.split_symbol(account)
        is_known = asset in assets or asset in self.state.ledger.get_balances(self.user.uid, account)
        if not is_known:
            raise RefusedError(-3027)
        return asset

    def _check_account(self, account: str) -> str:
        refusal = self.state.availability.find_refusal(self.user.uid, account)
        if refusal is not None:
            raise RefusedError(refusal)
        return account


_MAX_DECIMALS = 8

Handler = Callable[[Call], object]
"""Returns the JSON value of the response, or a `Response`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A call."""

    method: str
    path: str
    security: Security
    weight: int
    scope: Scope
    """Whether its weight is counted by IP or by user; each call has its own budget, except those below ``/api``."""
    handler: Handler
    parameters: tuple[RequestParameter, ...] = ()
    cost: Callable[[ExchangeRules, Parameters], Cost] | None = None
    """Replaces `weight` and `scope` where they depend on rules or parameters."""
    orders: int = 0
    """How many orders it places, for the limit of orders."""

    def compute_cost(self, rules: ExchangeRules, query: str, body: str) -> Cost:
        """Weight and scope of a call with these parameters."""
        if self.cost is None:
            return self.weight, self.scope
        return self.cost(rules, read_parameters(query, body))
