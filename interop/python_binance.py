"""python-binance: its listen token call and its two margin sockets, with the addresses of a sandbox."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException
from step import API_KEY, API_SECRET, REST, STREAM, WEBSOCKET_API, call_operation, fill_order, report_version, run_step

warnings.simplefilter("ignore", DeprecationWarning)

AsyncClient.API_URL = f"{REST}/api"
AsyncClient.MARGIN_API_URL = f"{REST}/sapi"
AsyncClient.WS_API_URL = WEBSOCKET_API
BinanceSocketManager.STREAM_URL = f"{STREAM}/"


async def wait_for(socket: Any, kind: str) -> dict[str, Any]:
    while True:
        event: dict[str, Any] = await socket.recv()
        if event["e"] == kind:
            return event


async def receive_fill(socket: Any, account: str, symbol: str) -> str:
    await fill_order(symbol, account)
    report = await wait_for(socket, "executionReport")
    while report["X"] != "FILLED":
        report = await wait_for(socket, "executionReport")
    await wait_for(socket, "outboundAccountPosition")
    return f"{report['s']} {report['X']} {report['z']} at {report['L']}, then the balances"


async def main() -> None:
    report_version("python-binance")
    client: AsyncClient
    sockets: dict[str, Any] = {}

    async def create_client() -> str:
        nonlocal client
        client = await AsyncClient.create(API_KEY, API_SECRET)
        return f"clock offset {'below' if abs(client.timestamp_offset) < 1000 else 'above'} a second"

    async def create_tokens() -> str:
        cross = await client.margin_create_listen_token()
        isolated = await client.margin_create_listen_token("BTCUSDT", is_isolated=True, validity=60_000)
        return f"validity {cross['expirationTime'] - isolated['expirationTime']} ms apart"

    async def subscribe(name: str, symbol: str | None = None) -> str:
        manager = BinanceSocketManager(client)
        socket = manager.isolated_margin_socket(symbol) if symbol else manager.margin_socket()
        sockets[name] = await socket.__aenter__()
        return "subscribed"

    async def receive_balance_update() -> str:
        await call_operation("change-balance", asset="USDT", delta="25")
        event = await wait_for(sockets["cross"], "balanceUpdate")
        return f"{event['d']} {event['a']}"

    async def renew() -> str:
        """It has no renewal, so its users repeat the same call before the token expires."""
        token = (await client.margin_create_listen_token())["token"]
        response = await client._ws_api_request("userDataStream.subscribe.listenToken", False, {"listenToken": token})
        same = response["subscriptionId"] == sockets["cross"]._subscription_id
        return f"extended under {'the same' if same else 'another'} id"

    async def close() -> str:
        for socket in sockets.values():
            await socket.__aexit__(None, None, None)
        return "unsubscribed both"

    async def check_recovery(fault: str, **parameters: object) -> str:
        """Inject a fault into a new socket. Later events of the account should still arrive."""
        socket = await BinanceSocketManager(client).margin_socket().__aenter__()
        await call_operation("inject-fault", fault=fault, **parameters)
        message = await socket.recv()
        await asyncio.sleep(3)
        await fill_order()
        try:
            async with asyncio.timeout(4):
                await wait_for(socket, "executionReport")
        except TimeoutError:
            raise AssertionError(f"received {message.get('type', message['e'])}, then nothing") from None
        return "recovered by itself"

    async def call_retired_endpoint() -> str:
        try:
            await client.margin_stream_get_listen_key()
        except BinanceAPIException as error:
            return f"refused: HTTP {error.status_code}, with the message {error.message!r}"
        raise AssertionError("a retired endpoint responded")

    await run_step("create the client (ping, time)", create_client)
    await run_step("create listen tokens, cross and isolated, signed", create_tokens)
    await run_step("attach margin_socket()", lambda: subscribe("cross"))
    await run_step("attach isolated_margin_socket('ETHUSDT')", lambda: subscribe("isolated", "ETHUSDT"))
    await run_step("receive a fill on the cross account", lambda: receive_fill(sockets["cross"], "cross", "BTCUSDT"))
    await run_step(
        "receive a fill on the isolated account", lambda: receive_fill(sockets["isolated"], "ETHUSDT", "ETHUSDT")
    )
    await run_step("receive a balance update", receive_balance_update)
    await run_step("renew the token on the same connection, by hand", renew)
    await run_step("receive a fill after it", lambda: receive_fill(sockets["cross"], "cross", "BTCUSDT"))
    await run_step("close the sockets", close)
    await run_step("get an error for the retired listen key", call_retired_endpoint)
    await run_step(
        "stay subscribed when the token expires",
        lambda: check_recovery("expire-credentials", credentials="listen_tokens"),
    )
    await run_step("stay subscribed when the connection is reset", lambda: check_recovery("reset"))
    await client.close_connection()


asyncio.run(main())
