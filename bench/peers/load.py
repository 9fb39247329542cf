"""Single entries over HTTP: a process of its own, persistent connections, every line different.

    python -m bench.peers.load PORT PATH STATUS CONNECTIONS REQUESTS SEED

prints one JSON object as bench.load does. Every line differs because a log that looks for repeated
entries answers them from its memory, without storing them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from bench.lines import LINE_BYTES, bodies

HOST = "127.0.0.1"


class Run:
    """What is left to send, and what came back. `status` is the only answer that counts."""

    def __init__(self, requests: list[bytes], status: str) -> None:
        self.left = requests
        self.expected = f"HTTP/1.1 {status} ".encode()
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._total = len(requests)

    def answered(self, seconds: float) -> None:
        """Counts an answer; the last one ends the run."""
        self.latencies.append(seconds)
        if len(self.latencies) == self._total and not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        """Ends the run with an error."""
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))


class _Connection(asyncio.Protocol):
    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        if not self._run.left:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._run.left.pop())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(self._run.expected):
            self._run.fail(f"{head[:60]!r} {body[:200]!r}")
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._run.answered(time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._run.left:
            self._run.fail(f"the connection was closed: {exc}")


async def _main(
    port: str, path: str, status: str, connections: int, total: int, seed: int
) -> dict[str, float]:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        "Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    ).encode()
    lines = [body.rstrip(b"\n") for body in bodies(total, LINE_BYTES, seed)]
    run = Run([head % len(line) + line for line in lines], status)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), HOST, int(port))
    await run.done
    seconds = time.perf_counter() - started
    ordered = sorted(run.latencies)
    return {
        "requests": total,
        "entries": total,
        "seconds": seconds,
        "p50_ms": ordered[total // 2] * 1000,
        "p99_ms": ordered[total * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    port, path, status, connections, requests, seed = sys.argv[1:]
    numbers = (int(connections), int(requests), int(seed))
    json.dump(uvloop.run(_main(port, path, status, *numbers)), sys.stdout)
