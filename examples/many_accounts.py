"""Follow one cross and 49 isolated accounts on one connection, and record the balances of each."""

from collections import defaultdict
from decimal import Decimal

from binance_margin_stream import CROSS, Account, ApiKeyAuth, MarginStream, OutboundAccountPosition, isolated
from binance_margin_stream.sandbox import Sandbox

SYMBOLS = [f"COIN{number:02}USDT" for number in range(49)]

balances: dict[Account, dict[str, Decimal]] = defaultdict(dict)
with (
    Sandbox() as exchange,
    MarginStream(
        ApiKeyAuth(exchange.api_key),
        accounts=[CROSS, *map(isolated, SYMBOLS)],
        endpoints=exchange.endpoints,
    ) as stream,
):
    for symbol in SYMBOLS:
        exchange.place_order(symbol=symbol, side="BUY", quantity="10", price="1", account=symbol)
    for event in stream:
        # The exchange's message does not contain the account; the stream adds it.
        if isinstance(event, OutboundAccountPosition):
            balances[event.account] |= {balance.asset: balance.free for balance in event.balances}
        if len(balances) == len(SYMBOLS):
            break
    print(f"{len(balances)} accounts on {stream.health.connections} connection")
    print(f"{isolated(SYMBOLS[0])}: {balances[isolated(SYMBOLS[0])]}")
