"""The load generator: a process of its own that posts bodies over persistent connections.

    python -m bench.load URL_PATH HOST PORT CONNECTIONS REQUESTS BODY_BYTES [1: hardly compressible]

prints one JSON object: requests, entries, seconds, and latencies in milliseconds. A body goes out
on a connection when the answer to the one before it has come, as an honest client's would.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from bench.lines import bodies


class _Connection(asyncio.Protocol):
    """Sends requests from a shared queue, one at a time; fails loudly on any answer but 201."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = self._run.take()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 201"):
            self._run.fail(f"{head[:40]!r} {body[:200]!r}")
            return
        self._buffer = body[length:]
        self._run.answered(time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.closed(exc)


class Run:
    """One run: what is left to send, and what came back."""

    def __init__(self, requests: list[bytes], total: int, connections: int) -> None:
        self._requests, self._left = requests, total
        self._open = connections
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self) -> bytes | None:
        """Returns the next request, or None when all are sent."""
        if self._left == 0:
            return None
        self._left -= 1
        return self._requests[self._left % len(self._requests)]

    def answered(self, seconds: float) -> None:
        """Counts an answer."""
        self.latencies.append(seconds)

    def fail(self, reason: str) -> None:
        """Ends the run with an error."""
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))

    def closed(self, error: Exception | None) -> None:
        """Counts a closed connection; the last one ends the run."""
        self._open -= 1
        if error is not None:
            self.fail(str(error))
        if self._open == 0 and not self.done.done():
            self.done.set_result(None)


async def _main(
    path: str, host: str, port: int, connections: int, total: int, size: int, dense: int = 0
) -> None:
    payloads = bodies(min(total, 64), size, dense=bool(dense))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        "Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    ).encode()
    requests = [head % len(body) + body for body in payloads]
    run = Run(requests, total, connections)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), host, port)
    await run.done
    seconds = time.perf_counter() - started
    ordered = sorted(run.latencies)
    json.dump(
        {
            "requests": len(ordered),
            "entries": len(ordered) * payloads[0].count(b"\n"),
            "seconds": seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    path, host, *numbers = sys.argv[1:]
    uvloop.run(_main(path, host, *(int(number) for number in numbers)))
