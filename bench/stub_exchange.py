"""An exchange of its own process that does as little as possible, so that the client is what is measured.

    python bench/stub_exchange.py

It prints the ports of REST and WebSocket API as one line of JSON and ends with its standard input. Tokens live for
``validity`` milliseconds and a subscription is extended under the same id, as in the fastest case of the real one.
On the connection that subscribed, ``GET /blast?events=N&accounts=M`` sends N frames round robin to M accounts as fast
as they go, and ``GET /drip?events=N&accounts=M&rate=R`` sends R a second, each with its time of sending in
nanoseconds as the client order id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

from frames import frames
from websockets.asyncio.server import ServerConnection, serve

BODIES = [frame.partition(b',"event":')[2] for frame in frames()]
MARK = b'"c":"'


class Exchange:
    """Hands out tokens and ids, and sends what it is told to send."""

    def __init__(self) -> None:
        self.validity = 86_400_000
        self.tokens = 0
        self.renewals = 0
        self.socket: ServerConnection | None = None
        self.names: dict[str, int] = {}

    async def stream(self, socket: ServerConnection) -> None:
        self.socket, self.names = socket, {}
        async for text in socket:
            request = json.loads(text)
            account = request["params"]["listenToken"].partition(":")[0]
            self.renewals += account in self.names
            number = self.names.setdefault(account, len(self.names))
            result = {"subscriptionId": number, "expirationTime": self.ends()}
            await socket.send(json.dumps({"id": request["id"], "status": 200, "result": result}))

    def ends(self) -> int:
        return round(time.time() * 1000) + self.validity

    async def call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end, a connection that waits for its next call
            await self.calls(reader, writer)

    async def calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            length = 0
            while (header := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            form = (await reader.readexactly(length)).decode()
            body = json.dumps(await self.answer(line.split()[1].decode(), form)).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    async def answer(self, target: str, form: str) -> object:
        parts = urlsplit(target)
        asked = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        if parts.path == "/blast":
            return await self.blast(**asked)
        if parts.path == "/drip":
            return await self.drip(**asked)
        if parts.path == "/validity":
            self.validity = asked["ms"]
            return {}
        if parts.path == "/renewals":
            return self.renewals
        account = parse_qs(form).get("symbol", ["cross"])[0]
        self.tokens += 1
        return {"token": f"{account}:{self.tokens}", "expirationTime": self.ends()}

    async def blast(self, events: int, accounts: int) -> float:
        assert self.socket is not None
        texts = [self.frame(number % accounts, BODIES[number % len(BODIES)]) for number in range(min(events, 5000))]
        started = time.monotonic()
        for number in range(events):
            await self.socket.send(texts[number % len(texts)])
        return time.monotonic() - started

    async def drip(self, events: int, accounts: int, rate: int) -> float:
        assert self.socket is not None
        started = time.monotonic()
        for number in range(events):
            head, _, tail = BODIES[number % len(BODIES)].partition(MARK)
            sent_at = f"{time.monotonic_ns()}".encode()
            body = head + MARK + sent_at + tail[tail.index(b'"') :]
            await self.socket.send(self.frame(number % accounts, body))
            await asyncio.sleep(max(0.0, started + (number + 1) / rate - time.monotonic()))
        return time.monotonic() - started

    @staticmethod
    def frame(subscription: int, body: bytes) -> str:
        return f'{{"subscriptionId":{subscription},"event":{body.decode()}'


async def main() -> None:
    exchange = Exchange()
    rest = await asyncio.start_server(exchange.call, "127.0.0.1", 0)
    async with rest, serve(exchange.stream, "127.0.0.1", 0, compression=None, ping_interval=20) as sockets:
        ports = rest.sockets[0].getsockname()[1], next(iter(sockets.sockets)).getsockname()[1]
        print(json.dumps(ports), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
