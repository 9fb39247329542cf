"""The load generator: a process of its own that sends one protocol's messages for a while.

    python -m bench.receive.load WAY PORT SECONDS CONNECTIONS

The next message goes out on a connection when the answer to the one before has come; where nothing
is answered, when the kernel takes it. Prints {"records": sent, "seconds": taken}.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Iterator

import grpc.aio
import uvloop

from bench.receive.messages import MARK, RECORDS, Way, ways


def _numbered(way: Way) -> Iterator[bytes]:
    """The messages in turn, without end, each with a number of its own at its mark."""
    cut = [message.split(MARK) for message in way.messages]
    number = secrets.randbelow(10**15)
    while True:
        for parts in cut:
            number += 1
            yield parts[0] if len(parts) == 1 else (b"%016d" % number).join(parts)


class _Run:
    def __init__(self, way: Way, port: int, seconds: float) -> None:
        self._way, self._port = way, port
        self._messages = _numbered(way)
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds
        self.sent = 0

    def _next(self) -> bytes | None:
        return next(self._messages) if self._loop.time() < self._end else None

    async def stream(self) -> None:
        """One connection of bytes there and, where the protocol has them, answers back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        while (message := self._next()) is not None:
            writer.write(message)
            await writer.drain()
            if self._way.answer is None:
                await _http_answer(reader)
            elif self._way.answer:
                await reader.readexactly(self._way.answer)
            self.sent += 1
        writer.close()
        await writer.wait_closed()

    async def calls(self) -> None:
        """One channel of unary calls."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._port}") as channel:
            call = channel.unary_unary(self._way.grpc)
            while (message := self._next()) is not None:
                await call(message)
                self.sent += 1


async def _http_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    if not 200 <= status < 300:
        raise RuntimeError(f"{head!r} {await reader.read(500)!r}")
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if length:
        await reader.readexactly(int(length))


async def _main(name: str, port: int, seconds: float, connections: int) -> None:
    way = next(way for way in ways() if way.name == name)
    run = _Run(way, port, seconds)
    loop = asyncio.get_running_loop()
    began = loop.time()
    one = run.calls if way.grpc else run.stream
    await asyncio.gather(*(one() for _ in range(connections)))
    json.dump({"records": run.sent * RECORDS, "seconds": loop.time() - began}, sys.stdout)


if __name__ == "__main__":
    _, name, port, seconds, connections = sys.argv
    uvloop.run(_main(name, int(port), float(seconds), int(connections)))
