"""Follow a cross and an isolated margin account, and print the events.

Runs against a sandbox inside the program. For your own account, remove `Sandbox` and `endpoints`, and use
`ApiKeyAuth.from_env()`.
"""

from binance_margin_stream import CROSS, ApiKeyAuth, BalanceUpdate, ExecutionReport, MarginStream, StreamGap, isolated
from binance_margin_stream.sandbox import Sandbox

with (
    Sandbox() as exchange,
    MarginStream(
        ApiKeyAuth(exchange.api_key),
        accounts=[CROSS, isolated("BTCUSDT")],
        endpoints=exchange.endpoints,
    ) as stream,
):
    # Every account is subscribed now. Take a snapshot of orders and balances here.
    order = exchange.place_order(symbol="BTCUSDT", side="BUY", quantity="0.5", price="60000", account="BTCUSDT")
    exchange.fill_order(order.order_id)
    exchange.change_balance("USDT", "-25")

    for event in stream:
        match event:
            case ExecutionReport(symbol=symbol, order_status="FILLED", cumulative_filled_quantity=quantity):
                print(f"{event.account}: {quantity} {symbol} filled at {event.last_executed_price}")
            case BalanceUpdate(asset=asset, delta=delta):
                print(f"{event.account}: {delta} {asset}")
                break
            case StreamGap(since_datetime=since, until_datetime=until):
                print(f"{event.account}: events may be missing from {since} to {until}: compare with a snapshot")
