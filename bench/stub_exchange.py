"""A minimal exchange in a process of its own, so that a measurement shows the cost of the client.

    python bench/stub_exchange.py

Prints the ports of REST and WebSocket API as one line of JSON, and ends when its standard input is closed.
``GET /validity?ms=N`` sets the lifetime of a listen token. A new subscribe for an account renews its subscription
under the same id. On the connection that subscribed, ``GET /send-burst?events=N&accounts=M`` sends N frames in turn to
M accounts without a pause, and ``GET /send-slowly?events=N&accounts=M&rate=R`` sends R frames per second, each with
its send time in nanoseconds as the client order id. ``GET /renewals`` returns the number of renewals.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

from frames import make_frames
from websockets.asyncio.server import ServerConnection, serve

EVENT_BODIES = [frame.partition(b',"event":')[2] for frame in make_frames()]
ORDER_ID_MARK = b'"c":"'


class StubExchange:
    """Creates listen tokens and subscription ids, and sends events on request."""

    def __init__(self) -> None:
        self.token_validity_ms = 86_400_000
        self.token_count = 0
        self.renewals = 0
        self.connection: ServerConnection | None = None
        self.subscription_ids: dict[str, int] = {}

    async def serve_stream(self, connection: ServerConnection) -> None:
        self.connection, self.subscription_ids = connection, {}
        async for text in connection:
            request = json.loads(text)
            account = request["params"]["listenToken"].partition(":")[0]
            self.renewals += account in self.subscription_ids
            number = self.subscription_ids.setdefault(account, len(self.subscription_ids))
            result = {"subscriptionId": number, "expirationTime": self.expiration_time()}
            await connection.send(json.dumps({"id": request["id"], "status": 200, "result": result}))

    def expiration_time(self) -> int:
        return round(time.time() * 1000) + self.token_validity_ms

    async def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end, on a connection that waits for a request
            await self.serve_requests(reader, writer)

    async def serve_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            length = 0
            while (header := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            form = (await reader.readexactly(length)).decode()
            body = json.dumps(await self.handle_request(line.split()[1].decode(), form)).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    async def handle_request(self, target: str, form: str) -> object:
        parts = urlsplit(target)
        parameters = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        if parts.path == "/send-burst":
            return await self.send_burst(**parameters)
        if parts.path == "/send-slowly":
            return await self.send_slowly(**parameters)
        if parts.path == "/validity":
            self.token_validity_ms = parameters["ms"]
            return {}
        if parts.path == "/renewals":
            return self.renewals
        account = parse_qs(form).get("symbol", ["cross"])[0]
        self.token_count += 1
        return {"token": f"{account}:{self.token_count}", "expirationTime": self.expiration_time()}

    async def send_burst(self, events: int, accounts: int) -> float:
        assert self.connection is not None
        texts = [
            self.make_frame(number % accounts, EVENT_BODIES[number % len(EVENT_BODIES)])
            for number in range(min(events, 5000))
        ]
        started = time.monotonic()
        for number in range(events):
            await self.connection.send(texts[number % len(texts)])
        return time.monotonic() - started

    async def send_slowly(self, events: int, accounts: int, rate: int) -> float:
        assert self.connection is not None
        started = time.monotonic()
        for number in range(events):
            head, _, tail = EVENT_BODIES[number % len(EVENT_BODIES)].partition(ORDER_ID_MARK)
            sent_at = f"{time.monotonic_ns()}".encode()
            body = head + ORDER_ID_MARK + sent_at + tail[tail.index(b'"') :]
            await self.connection.send(self.make_frame(number % accounts, body))
            await asyncio.sleep(max(0.0, started + (number + 1) / rate - time.monotonic()))
        return time.monotonic() - started

    @staticmethod
    def make_frame(subscription: int, body: bytes) -> str:
        return f'{{"subscriptionId":{subscription},"event":{body.decode()}'


async def main() -> None:
    exchange = StubExchange()
    rest = await asyncio.start_server(exchange.handle_connection, "127.0.0.1", 0)
    async with rest, serve(exchange.serve_stream, "127.0.0.1", 0, compression=None, ping_interval=20) as sockets:
        ports = rest.sockets[0].getsockname()[1], next(iter(sockets.sockets)).getsockname()[1]
        print(json.dumps(ports), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
