"""The trading rules of the sandbox exchange: symbols, filters, fees, loans, and the readings of open questions."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

__all__ = [
    "BorrowTime",
    "FieldPresence",
    "OpenOrdersWeight",
    "ServedOrRefused",
    "TradingRules",
]

FieldPresence = Literal["present", "missing"]
ServedOrRefused = Literal["served", "refused"]
BorrowTime = Literal["placement", "execution"]
OpenOrdersWeight = Literal["once", "per_symbol"]
TriggerMessage = Literal["documented", "seen"]
AmountSign = Literal["positive", "signed"]
NumberType = Literal["number", "string"]
RecordTimeUnit = Literal["ms", "s"]
TimeFilter = Literal["created", "updated"]
WeightReading = Literal["750_uid", "50_ip"]

_VALUED_QUOTES = ("BTC", "ETH", "BNB")
_FINE_TICK = Decimal("0.0000001")
_FINE_MIN_NOTIONAL = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class TradingRules:
    """The rules of trading; a part of `ExchangeRules`."""

    symbols: frozenset[str] | None = None
    """Symbols that exist; by default every name that ends with one of `quote_assets`."""

    quote_assets: tuple[str, ...] = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL")
    """Quote assets; they determine how a symbol is split."""

    opening_balance: Decimal = Decimal(1_000_000)
    """Initial balance of every asset; set 0 for accounts with realistic margin levels."""

    opening_price: Decimal = Decimal(100)
    """Price of a symbol before one is set."""

    commission_rate: Decimal = Decimal("0.001")
    """Commission as a fraction of the received amount."""

    hourly_interest_rate: Decimal = Decimal(0)
    """Interest as a fraction of the borrowed amount, charged at every full hour; the exchange's rates change daily."""

    margin_level_thresholds: tuple[Decimal, Decimal, Decimal, Decimal] = (
        Decimal(2),
        Decimal("1.3"),
        Decimal("1.2"),
        Decimal("1.1"),
    )
    """Levels above which the status is EXCESSIVE, NORMAL, MARGIN_CALL and PRE_LIQUIDATION; at or below the last one
    the account is liquidated. The exchange's own depend on account and leverage."""

    listed_symbols: tuple[str, ...] = (
        "BTCUSDT",
        "ETHUSDT",
        "BNBUSDT",
        "SOLUSDT",
        "XRPUSDT",
        "BTCUSDC",
        "ETHBTC",
        "BNBBTC",
    )
    """Symbols that ``exchangeInfo`` and the lists of pairs show, together with those that were used; all of `symbols`
    if that is set."""

    tick_size: Decimal = Decimal("0.01")
    """Step of prices; symbols that are quoted in BTC, ETH or BNB have 0.0000001."""

    step_size: Decimal = Decimal("0.00001")
    """Step and minimum of quantities."""

    min_notional: Decimal = Decimal(5)
    """Minimum of price times quantity; 0.0001 for symbols that are quoted in BTC, ETH or BNB."""

    liquidity: Decimal = Decimal(0)
    """Quantity that the market offers at each tick from its price on; 0: any quantity at the price. With a value, an
    order that is larger is filled in parts at worse prices, and meets the account's own orders."""

    order_limit_10_seconds: int = 10_000
    """New orders per account in ten seconds; above it -1015. The figure is that of the documentation's example."""

    order_limit_day: int = 20_000
    """New orders per account and day; above it -1015. The figure is that of the documentation's example."""

    open_order_limit: int = 200
    """Open orders per account and symbol; above it a filter failure."""

    open_stop_order_limit: int = 5
    """Open stop orders per account and symbol; above it a filter failure."""

    borrow_limit: Decimal = Decimal(10_000_000)
    """Largest loan of an account in an asset."""

    max_leverage: Decimal = Decimal(3)
    """Assets per own funds up to which a REST call may borrow in the cross account."""

    isolated_max_leverage: Decimal = Decimal(10)
    """As `max_leverage`, in isolated accounts."""

    bnb_commission_discount: Decimal = Decimal("0.25")
    """Discount on commission that is paid in BNB, for users who have set ``spotBNBBurn``."""

    max_history_entries: int = 200_000
    """How many closed orders, trades and records of each kind are kept."""

    read_lag_ms: int | None = None
    """How long a new order or trade is invisible to read calls, in milliseconds of exchange time. Clients have seen
    -2013 for orders that existed for up to ten seconds; None: no delay."""

    borrow_time: BorrowTime = "placement"
    """When an order with a side effect takes its loan: when it is placed, as the support pages say, or when it is
    executed, as another page says."""

    auto_borrow_repay: ServedOrRefused = "served"
    """Whether the side effect AUTO_BORROW_REPAY exists; one source says that it ended on 2026-10-14."""

    borrow_amount_type: NumberType = "number"
    """Type of ``marginBuyBorrowAmount`` in the response to a single order; in order lists it is a string."""

    fill_trade_id: FieldPresence = "present"
    """Whether the fills in the response to an order have ``tradeId``."""

    trade_commission: FieldPresence = "present"
    """Whether trades have a commission; null was announced for 2026-10-14."""

    order_row_list_id: FieldPresence = "missing"
    """Whether order rows have ``orderListId``, as those of spot have."""

    order_time_filter: TimeFilter = "created"
    """Which time of an order ``startTime`` and ``endTime`` of ``allOrders`` refer to; undocumented."""

    capital_flow_sign: AmountSign = "positive"
    """Whether expenses have a negative amount in ``capital-flow``; the examples are positive."""

    transfer_time_unit: RecordTimeUnit = "ms"
    """Unit of ``timestamp`` in the history of transfers; the example has ten digits."""

    open_orders_weight: OpenOrdersWeight = "per_symbol"
    """Whether ``openOrders`` without a symbol costs 10, or 10 for each listed symbol."""

    max_borrowable_weight: WeightReading = "750_uid"
    """Weight of ``maxBorrowable``: 750 by user since 2026-04-16, or 50 by IP as the exchange's SDK says."""

    stop_trigger_message: TriggerMessage = "documented"
    """Message of -2010 for a stop price on the wrong side of the market: ``Order would trigger immediately.`` or
    ``Stop price would trigger immediately.``"""

    def get_tick_size(self, quote: str) -> Decimal:
        """Step of the prices in a quote asset."""
        return _FINE_TICK if quote in _VALUED_QUOTES else self.tick_size

    def get_min_notional(self, quote: str) -> Decimal:
        """Minimum value of an order in a quote asset."""
        return _FINE_MIN_NOTIONAL if quote in _VALUED_QUOTES else self.min_notional

    def split_symbol(self, symbol: str) -> tuple[str, str] | None:
        """Base and quote asset of a symbol; None if the symbol does not exist."""
        if self.symbols is not None and symbol not in self.symbols:
            return None
        for quote in self.quote_assets:
            if symbol.endswith(quote) and len(symbol) > len(quote):
                return symbol[: -len(quote)], quote
        return None
