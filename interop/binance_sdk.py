"""The exchange's own SDK for margin: listen keys V2, risk listen keys and its stream client, at a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_common.errors import BadRequestError, UnauthorizedError
from binance_sdk_margin_trading.margin_trading import MarginTrading
from step import API_KEY, REST, STREAM, drive, fill, introduce, step

CLIENT = MarginTrading(
    config_rest_api=ConfigurationRestAPI(api_key=API_KEY, base_path=REST),
    config_ws_streams=ConfigurationWebSocketStreams(stream_url=STREAM),
)
STRANGER = MarginTrading(config_rest_api=ConfigurationRestAPI(api_key="Unknown0" * 8, base_path=REST))


class Listener:
    """One stream: what it was told, event by event."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.connection: Any = None
        self.stream: Any = None

    async def until(self, kind: str) -> Any:
        while True:
            event = await self.events.get()
            inner = getattr(event, "actual_instance", event)
            if type(inner).__name__ == kind:
                return inner


async def main() -> None:
    introduce("binance-sdk-margin-trading")
    keys: dict[str, str] = {}
    trade, risk = Listener(), Listener()

    async def create(name: str, call: Callable[[], Any]) -> str:
        answer = await asyncio.to_thread(call)
        keys[name] = answer.data().listen_key
        return "a key"

    async def attach(listener: Listener, subscribe: Callable[[Any], Callable[[str], Awaitable[Any]]], key: str) -> str:
        streams = CLIENT.websocket_streams
        listener.connection = await streams.create_connection()
        listener.stream = await subscribe(streams)(keys[key])
        listener.stream.on("message", listener.events.put_nowait)
        return "subscribed"

    async def again(call: Callable[[], Any]) -> str:
        await create("v2", call)
        return await attach(trade, lambda s: s.trade_data, "v2")

    async def filled() -> str:
        await fill()
        report = await trade.until("ExecutionReport")
        while report.X != "FILLED":
            report = await trade.until("ExecutionReport")
        await trade.until("OutboundAccountPosition")
        return f"{report.s} {report.X} {report.z} at {report.L}, then the balances"

    async def deposit() -> str:
        await drive("change-balance", asset="USDT", delta="25")
        event = await trade.until("BalanceUpdate")
        return f"{event.d} {event.a}"

    async def called() -> str:
        await drive("send-margin-call", level="1.08")
        event = await risk.until("MarginLevelStatusChange")
        return f"{event.s} at {event.l}"

    async def borrowed() -> str:
        await drive("borrow", asset="USDT", amount="100")
        event = await risk.until("UserLiabilityChange")
        return f"{event.a} {event.t} {event.p}"

    async def quiet(call: Callable[[], Any]) -> str:
        answer = await asyncio.to_thread(call)
        return f"HTTP {answer.status}"

    async def refused(call: Callable[[], Any], kind: type[Exception]) -> str:
        try:
            await asyncio.to_thread(call)
        except kind as error:
            return f"refused: {type(error).__name__} {error}"
        raise AssertionError("it was not refused")

    async def leave() -> str:
        for listener in (trade, risk):
            await listener.stream.unsubscribe()
        await CLIENT.websocket_streams.close_connection(close_session=True)
        return "unsubscribed both"

    async def interrupted(fault: str, **parameters: object) -> str:
        """The stream is struck by a fault; what happens on the account after that should still arrive."""
        await drive("inject-fault", fault=fault, **parameters)
        await asyncio.sleep(7)  # it waits five seconds before it connects again
        while not trade.events.empty():
            trade.events.get_nowait()
        await fill()
        try:
            async with asyncio.timeout(4):
                await trade.until("ExecutionReport")
        except TimeoutError:
            raise AssertionError("silent for good") from None
        return "came back by itself"

    rest = CLIENT.rest_api
    await step("create a listen key V2", lambda: create("v2", rest.start_user_data_stream_v2))
    await step("create a risk listen key", lambda: create("risk", rest.start_user_data_stream))
    await step("attach trade_data(listen key V2)", lambda: attach(trade, lambda s: s.trade_data, "v2"))
    await step("attach risk_data(risk listen key)", lambda: attach(risk, lambda s: s.risk_data, "risk"))
    await step("receive a fill", filled)
    await step("receive a balance update", deposit)
    await step("receive a margin call", called)
    await step("receive a liability change", borrowed)
    await step("keep the listen key V2 alive", lambda: quiet(lambda: rest.keepalive_user_data_stream_v2(keys["v2"])))
    await step("keep the risk listen key alive", lambda: quiet(lambda: rest.keepalive_user_data_stream(keys["risk"])))
    await step("detach from both streams", leave)
    await step("close the listen key V2", lambda: quiet(rest.close_user_data_stream_v2))
    await step("close the risk listen key", lambda: quiet(rest.close_user_data_stream))
    await step(
        "be told that the closed key is gone",
        lambda: refused(lambda: rest.keepalive_user_data_stream_v2(keys["v2"]), BadRequestError),
    )
    await step(
        "be refused with an unknown API key",
        lambda: refused(STRANGER.rest_api.start_user_data_stream_v2, UnauthorizedError),
    )
    await step("attach to a new listen key V2", lambda: again(rest.start_user_data_stream_v2))
    await step("stay subscribed when the connection is reset", lambda: interrupted("reset"))
    await step("attach to a listen key V2 once more", lambda: again(rest.start_user_data_stream_v2))
    await step(
        "stay subscribed when the listen key ends", lambda: interrupted("expire-credentials", credentials="listen_keys")
    )
    await CLIENT.websocket_streams.close_connection(close_session=True)


asyncio.run(main())
