"""A tiny HTTP backend whose answers are told by the path, so that log lines can be foretold.

`/s/<status>/<delay in ms>/<body bytes>/...` is answered so; any other path with 200 and 2 bytes.
"""

from __future__ import annotations

import asyncio
import re
import threading

_ORDER = re.compile(rb"^[A-Z]+ (?:https?://[^/ ]+)?/s/([1-5][0-9]{2})/([0-9]{1,4})/([0-9]{1,6})")
_CLOSE = re.compile(rb"(?i)\r\nconnection: *close\r\n")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


class Backend:
    """Answers HTTP/1.1 with keep-alive on `port` from a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                if length is not None:
                    await reader.readexactly(int(length[1]))
                await self._answer(head, writer)
                if _CLOSE.search(head):
                    return
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        order = _ORDER.match(head)
        status, delay, size = (int(n) for n in order.groups()) if order else (200, 0, 2)
        if delay:
            await asyncio.sleep(delay / 1000)
        body = b"" if head.startswith(b"HEAD ") else b"x" * size
        writer.write(
            b"HTTP/1.1 %d Told\r\nServer: tiny\r\nContent-Length: %d\r\n\r\n%b"
            % (status, size, body)
        )
        await writer.drain()

    def close(self) -> None:
        """Ends the server, its connections and its thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
