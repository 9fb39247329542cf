"""Ingest held at one rate beside the index: does the index follow, and what does that cost?

    python -m bench.sustained [--rate 300000] [--seconds 60] [--stopped 20]

posts 1 MiB batches of 300-byte lines on 8 connections, as many a second as the rate says, prints
once a second how far the index is behind, and then does the same with the query process stopped
(SIGSTOP), which is the baseline. `--rate 0` posts as fast as answers come.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.lines import LINE_BYTES, bodies
from bench.server import Server, serve

CONNECTIONS = 8
_BODY = 1 << 20
_PATH = "/api/v1/logs/default/entries?as=json"


class _Pace:
    """Hands out bodies at a rate, in entries a second; 0 is no limit."""

    def __init__(self, port: int, rate: float, seconds: float) -> None:
        payloads = bodies(64, _BODY)
        self.entries = payloads[0].count(b"\n")
        head = (
            f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
        ).encode()
        self._requests = [head % len(body) + body for body in payloads]
        self._gap = self.entries / rate if rate else 0.0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.time()
        self._end = self._next + seconds
        self._number = 0
        self._open = CONNECTIONS
        self.acknowledged = self.refused = 0
        self.done: asyncio.Future[None] = self._loop.create_future()

    def take(self) -> tuple[float, bytes] | None:
        """When to send the next request, and the request; None at the end."""
        now = self._loop.time()
        if now >= self._end:
            return None
        due, self._next = self._next, max(self._next + self._gap, now - 1.0)
        self._number += 1
        return due, self._requests[self._number % len(self._requests)]

    def answered(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"HTTP/1.1 201"):
            self.acknowledged += self.entries
        elif head.startswith(b"HTTP/1.1 429"):
            self.refused += self.entries
        elif not self.done.done():
            self.done.set_exception(RuntimeError(f"{head[:40]!r} {body[:200]!r}"))

    def closed(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    """One request at a time, each when it is due."""

    def __init__(self, pace: _Pace) -> None:
        self._pace = pace
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        found = self._pace.take()
        if found is None:
            self._transport.close()
            return
        asyncio.get_running_loop().call_at(found[0], self._transport.write, found[1])

    def _rest(self, head: bytes) -> None:
        """Waits as long as a 429 asks for, as an honest client does."""
        seconds = int(head.lower().partition(b"retry-after: ")[2].partition(b"\r\n")[0])
        asyncio.get_running_loop().call_later(seconds, self._send)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = body[length:]
            self._pace.answered(head, body)
            if head.startswith(b"HTTP/1.1 429"):
                self._rest(head)
            else:
                self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._pace.closed()


async def _load(port: int, rate: float, seconds: float) -> None:
    pace = _Pace(port, rate, seconds)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Connection(pace), "127.0.0.1", port)
    await pace.done
    took = loop.time() - began
    found = {"acknowledged": pace.acknowledged, "refused": pace.refused, "seconds": took}
    json.dump(found, sys.stdout)


def _run(server: Server, rate: float, seconds: float, watch: bool) -> dict[str, float]:
    """Loads a server for a while; prints the lag every second where `watch` says so."""
    numbers = [str(server.port), str(rate), str(seconds)]
    command = [sys.executable, "-m", "bench.sustained", "--load", *numbers]
    load = subprocess.Popen(command, stdout=subprocess.PIPE)
    began = time.monotonic()
    while watch and load.poll() is None:
        time.sleep(1.0)
        print(f"  {time.monotonic() - began:5.1f} s  lag {_lag(server):>12,}", flush=True)
    answer, _ = load.communicate()
    return dict(json.loads(answer))


def _lag(server: Server) -> int:
    search = cast(dict[str, Any], server.get("/readyz")["search"])
    return sum(shard["lag"] for shard in search["logs"]["default"]["shards"].values())


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def _measure(server: Server, rate: float, seconds: float, stopped: float) -> None:
    (pid,) = server.children()
    before = _cpu(server.process.pid), _cpu(pid)
    with_index = _run(server, rate, seconds, watch=True)
    ingest, query = _cpu(server.process.pid) - before[0], _cpu(pid) - before[1]
    began, behind = time.monotonic(), _lag(server)
    while _lag(server):
        time.sleep(0.2)
    print(f"caught up with {behind:,} entries in {time.monotonic() - began:.1f} s")
    print(f"query process: peak {_peak(pid)} MiB")
    _say("index on", with_index, f"server {ingest:.1f} s CPU, query process {query:.1f} s CPU")
    if stopped:
        os.kill(pid, signal.SIGSTOP)
        try:
            _say("index stopped", _run(server, rate, stopped, watch=False), "the baseline")
        finally:
            os.kill(pid, signal.SIGCONT)


def _say(what: str, found: dict[str, float], detail: str) -> None:
    rate = found["acknowledged"] / found["seconds"]
    print(f"{what}: {rate:,.0f} entries/s acknowledged, {found['refused']:,} refused; {detail}")


def main() -> None:
    """Measures, or is the load generator of a measurement."""
    options = argparse.ArgumentParser(prog="bench.sustained", description=__doc__)
    options.add_argument("--rate", type=float, default=300_000)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--stopped", type=float, default=20)
    options.add_argument("--scratch", type=Path, help="where to put the data (default: temporary)")
    options.add_argument("--load", nargs=3, type=float, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.load is not None:
        port, rate, seconds = chosen.load
        uvloop.run(_load(int(port), rate, seconds))
        return
    print(f"{chosen.rate:,.0f} entries/s of {LINE_BYTES} bytes, {os.cpu_count()} cores")
    scratch = tempfile.TemporaryDirectory(dir=chosen.scratch)
    with scratch as folder, serve(Path(folder) / "data") as server:
        _measure(server, chosen.rate, chosen.seconds, chosen.stopped)


if __name__ == "__main__":
    main()
