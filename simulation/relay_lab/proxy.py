"""A TCP proxy between a relay and the exchange that cuts its connections, or lets them fall silent."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit

__all__ = ["FaultProxy"]

_CHUNK = 1 << 16


class FaultProxy:
    """Forwards connections on a port of loopback to `target`, from a thread of its own."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._writers: set[asyncio.StreamWriter] = set()
        self._refuses = False
        self._is_silent = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def cut(self) -> None:
        """Reset every connection. New ones are forwarded."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def block(self) -> None:
        """Reset every connection, and refuse new ones until `heal`."""
        self._refuses = True
        self.cut()

    def fall_silent(self) -> None:
        """Deliver nothing any more on any connection, in either direction, until `heal`."""
        self._is_silent = True

    def heal(self) -> None:
        """Forward everything again. What was silent is reset: its bytes are lost."""
        if self._is_silent:
            self.cut()
        self._refuses = self._is_silent = False

    def close(self) -> None:
        """Stop."""

        async def end() -> None:
            self._server.close()
            self._abort_all()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream_writer}
        try:
            await asyncio.gather(self._pump(reader, upstream_writer), self._pump(upstream_reader, writer))
        finally:
            for each in (writer, upstream_writer):
                each.transport.abort()
                self._writers.discard(each)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._is_silent:
                    continue  # the bytes are lost, as on a broken path
                writer.write(data)
                await writer.drain()
        if not self._is_silent:
            writer.close()
