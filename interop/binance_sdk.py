"""The exchange's own SDK for margin: listen keys V2, risk listen keys and its stream client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_common.errors import BadRequestError, UnauthorizedError
from binance_sdk_margin_trading.margin_trading import MarginTrading
from step import API_KEY, REST, STREAM, call_operation, fill_order, report_version, run_step

CLIENT = MarginTrading(
    config_rest_api=ConfigurationRestAPI(api_key=API_KEY, base_path=REST),
    config_ws_streams=ConfigurationWebSocketStreams(stream_url=STREAM),
)
UNKNOWN_KEY_CLIENT = MarginTrading(config_rest_api=ConfigurationRestAPI(api_key="Unknown0" * 8, base_path=REST))


class StreamRecorder:
    """One stream, and the events that it received."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.connection: Any = None
        self.stream: Any = None

    async def wait_for(self, kind: str) -> Any:
        while True:
            event = await self.events.get()
            inner = getattr(event, "actual_instance", event)
            if type(inner).__name__ == kind:
                return inner


async def main() -> None:
    report_version("binance-sdk-margin-trading")
    keys: dict[str, str] = {}
    trade, risk = StreamRecorder(), StreamRecorder()

    async def create_key(name: str, call: Callable[[], Any]) -> str:
        response = await asyncio.to_thread(call)
        keys[name] = response.data().listen_key
        return "a key"

    async def subscribe(
        recorder: StreamRecorder, select_stream: Callable[[Any], Callable[[str], Awaitable[Any]]], key: str
    ) -> str:
        streams = CLIENT.websocket_streams
        recorder.connection = await streams.create_connection()
        recorder.stream = await select_stream(streams)(keys[key])
        recorder.stream.on("message", recorder.events.put_nowait)
        return "subscribed"

    async def resubscribe(call: Callable[[], Any]) -> str:
        await create_key("v2", call)
        return await subscribe(trade, lambda s: s.trade_data, "v2")

    async def receive_fill() -> str:
        await fill_order()
        report = await trade.wait_for("ExecutionReport")
        while report.X != "FILLED":
            report = await trade.wait_for("ExecutionReport")
        await trade.wait_for("OutboundAccountPosition")
        return f"{report.s} {report.X} {report.z} at {report.L}, then the balances"

    async def receive_balance_update() -> str:
        await call_operation("change-balance", asset="USDT", delta="25")
        event = await trade.wait_for("BalanceUpdate")
        return f"{event.d} {event.a}"

    async def receive_margin_call() -> str:
        await call_operation("send-margin-call", level="1.08")
        event = await risk.wait_for("MarginLevelStatusChange")
        return f"{event.s} at {event.l}"

    async def receive_liability_change() -> str:
        await call_operation("borrow", asset="USDT", amount="100")
        event = await risk.wait_for("UserLiabilityChange")
        return f"{event.a} {event.t} {event.p}"

    async def check_status(call: Callable[[], Any]) -> str:
        response = await asyncio.to_thread(call)
        return f"HTTP {response.status}"

    async def expect_error(call: Callable[[], Any], kind: type[Exception]) -> str:
        try:
            await asyncio.to_thread(call)
        except kind as error:
            return f"refused: {type(error).__name__} {error}"
        raise AssertionError("no error was raised")

    async def unsubscribe() -> str:
        for recorder in (trade, risk):
            await recorder.stream.unsubscribe()
        await CLIENT.websocket_streams.close_connection(close_session=True)
        return "unsubscribed both"

    async def check_recovery(fault: str, **parameters: object) -> str:
        """Inject a fault into the stream. Later events of the account should still arrive."""
        await call_operation("inject-fault", fault=fault, **parameters)
        await asyncio.sleep(7)  # it waits five seconds before it reconnects
        while not trade.events.empty():
            trade.events.get_nowait()
        await fill_order()
        try:
            async with asyncio.timeout(4):
                await trade.wait_for("ExecutionReport")
        except TimeoutError:
            raise AssertionError("no event any more") from None
        return "recovered by itself"

    rest = CLIENT.rest_api
    await run_step("create a listen key V2", lambda: create_key("v2", rest.start_user_data_stream_v2))
    await run_step("create a risk listen key", lambda: create_key("risk", rest.start_user_data_stream))
    await run_step("attach trade_data(listen key V2)", lambda: subscribe(trade, lambda s: s.trade_data, "v2"))
    await run_step("attach risk_data(risk listen key)", lambda: subscribe(risk, lambda s: s.risk_data, "risk"))
    await run_step("receive a fill", receive_fill)
    await run_step("receive a balance update", receive_balance_update)
    await run_step("receive a margin call", receive_margin_call)
    await run_step("receive a liability change", receive_liability_change)
    await run_step(
        "keep the listen key V2 alive", lambda: check_status(lambda: rest.keepalive_user_data_stream_v2(keys["v2"]))
    )
    await run_step(
        "keep the risk listen key alive", lambda: check_status(lambda: rest.keepalive_user_data_stream(keys["risk"]))
    )
    await run_step("detach from both streams", unsubscribe)
    await run_step("close the listen key V2", lambda: check_status(rest.close_user_data_stream_v2))
    await run_step("close the risk listen key", lambda: check_status(rest.close_user_data_stream))
    await run_step(
        "get an error for the closed key",
        lambda: expect_error(lambda: rest.keepalive_user_data_stream_v2(keys["v2"]), BadRequestError),
    )
    await run_step(
        "get an error for an unknown API key",
        lambda: expect_error(UNKNOWN_KEY_CLIENT.rest_api.start_user_data_stream_v2, UnauthorizedError),
    )
    await run_step("attach to a new listen key V2", lambda: resubscribe(rest.start_user_data_stream_v2))
    await run_step("stay subscribed when the connection is reset", lambda: check_recovery("reset"))
    await run_step("attach to a listen key V2 once more", lambda: resubscribe(rest.start_user_data_stream_v2))
    await run_step(
        "stay subscribed when the listen key expires",
        lambda: check_recovery("expire-credentials", credentials="listen_keys"),
    )
    await CLIENT.websocket_streams.close_connection(close_session=True)


asyncio.run(main())
