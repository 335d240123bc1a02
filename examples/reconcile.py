"""Keep a balance correct through a lost connection: on a gap, take a snapshot."""

from decimal import Decimal

from binance_margin_stream import ApiKeyAuth, BalanceUpdate, MarginStream, StreamGap
from binance_margin_stream.sandbox import Sandbox, faults

ledger = [Decimal(-10), Decimal(-20), Decimal(-30)]
"""The transfers of the account, which the exchange would return on request."""


def snapshot() -> Decimal:
    """Stands for a REST call that returns the balance, or the transfers since the gap."""
    return sum(ledger, Decimal())


with (
    Sandbox() as exchange,
    MarginStream(ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints) as stream,
):
    booked = Decimal()
    exchange.change_balance("USDT", ledger[0])
    for event in stream:
        match event:
            case BalanceUpdate(delta=delta) if delta == ledger[0]:
                booked += delta
                exchange.inject_fault(faults.DropConnections("reset"))
                exchange.change_balance("USDT", ledger[1])  # no connection is open, so this event is never sent
            case StreamGap(since=since, until=until, reason=reason):
                print(f"events of {until - since} ms may be missing ({reason}): taking a snapshot")
                booked = snapshot() - ledger[2]
                exchange.change_balance("USDT", ledger[2])
            case BalanceUpdate(delta=delta):
                booked += delta
                break
    print(f"booked {booked}, the exchange reports {snapshot()}")
    assert booked == snapshot()
