"""Follow an account with asyncio until an order is filled."""

import asyncio

from binance_margin_stream import ApiKeyAuth, AsyncMarginStream, ExecutionReport
from binance_margin_stream.sandbox import Sandbox


async def main(exchange: Sandbox) -> None:
    """Place and fill an order in the sandbox, and wait for its reports."""
    async with AsyncMarginStream(ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints) as stream:
        order = exchange.place_order(symbol="ETHUSDT", side="SELL", quantity="2", price="3000")
        exchange.fill_order(order.order_id)
        async for event in stream:
            match event:
                case ExecutionReport(order_status=status, order_id=number):
                    print(f"order {number} is {status}")
                    if status == "FILLED":
                        return


if __name__ == "__main__":
    with Sandbox() as sandbox:
        asyncio.run(main(sandbox))
