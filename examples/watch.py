"""Monitor the stream itself: status changes as they happen, and its health on request."""

import logging

from binance_margin_stream import ApiKeyAuth, MarginStream, StatusChange, StreamGap
from binance_margin_stream.sandbox import Sandbox, faults

logging.basicConfig(level=logging.INFO, format="log     %(levelname)s %(message)s")


def alert(change: StatusChange) -> None:
    """Runs in the stream's thread, so it must return soon. Send the change to your pager here."""
    if change.kind in ("subscription lost", "source retired", "renewal failed"):
        print(f"alert   {change.kind} {change.account} {change.detail}")


with (
    Sandbox() as exchange,
    MarginStream(ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints, on_change=alert) as stream,
):
    exchange.inject_fault(faults.DropConnections("eof"))
    for event in stream:
        if isinstance(event, StreamGap):
            break
    health = stream.health
    print(f"health  {health.state.value}, {health.gaps} gap, {health.reconnects} reconnect")
