"""Entries a second and a core for each protocol, beside the native HTTP path.

    python -m bench.receive [--seconds 4] [--runs 3] [--only loki]

For every protocol in turn: the load for some seconds, the native path for as long right after it,
on the same server. What counts is what is durable. The query process is stopped (SIGSTOP), so that
a core is the server's: entries by the CPU seconds of its process.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.receive.messages import RECORDS, Way, ways
from bench.report import machine
from bench.server import Server, serve

CONNECTIONS = 4
_LISTENERS = ("syslog", "forward", "grpc")


@dataclass(frozen=True)
class Figure:
    """What one run came to: entries durable a second, and a second of the server's CPU."""

    rate: float
    core: float


@contextmanager
def _server(folder: Path) -> Iterator[tuple[Server, dict[str, int]]]:
    """A server with a listener for each protocol that needs one, its index stopped."""
    ports: dict[str, int] = {}
    tables = []
    for protocol in _LISTENERS:
        ports[protocol] = _free_port()
        tables.append({"protocol": protocol, "listen": f"127.0.0.1:{ports[protocol]}"})
    os.environ["MUNIMENT_RECEIVE"] = json.dumps(tables)
    with serve(folder / "data") as server:
        (query,) = server.children()
        os.kill(query, signal.SIGSTOP)
        try:
            yield server, {"": server.port, **ports}
        finally:
            os.kill(query, signal.SIGCONT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(server: Server, way: Way, port: int, seconds: float) -> Figure:
    before, cpu = _size(server), _cpu(server.process.pid)
    began = time.monotonic()
    numbers = [str(port), str(seconds), str(CONNECTIONS)]
    command = [sys.executable, "-m", "bench.receive.load", way.name, *numbers]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    while _size(server) - before < answer["records"]:
        if time.monotonic() - began > seconds + 60:
            raise RuntimeError(f"{way.name}: {answer['records']:,} sent, not all became durable")
        time.sleep(0.01)
    waited = time.monotonic() - began
    took = answer["seconds"] if way.answer != 0 else max(answer["seconds"], waited - _START)
    entries = _size(server) - before
    return Figure(entries / took, entries / (_cpu(server.process.pid) - cpu))


_START = 1.0
"""About what the load generator needs to start and to make its messages."""


def _size(server: Server) -> int:
    logs = server.get("/api/v1/logs")["logs"]
    assert isinstance(logs, list)
    return int(logs[0]["shards"][0]["size"])


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pair(
    server: Server, ports: dict[str, int], way: Way, native: Way, seconds: float
) -> tuple[Figure, Figure]:
    return (
        _run(server, way, ports[way.listener], seconds),
        _run(server, native, ports[native.listener], seconds),
    )


def _row(way: Way, pairs: list[tuple[Figure, Figure]]) -> str:
    rate = statistics.median(one.rate for one, _ in pairs)
    core = statistics.median(one.core for one, _ in pairs)
    by_rate = statistics.median(one.rate / other.rate for one, other in pairs)
    by_core = statistics.median(one.core / other.core for one, other in pairs)
    size = statistics.mean(map(len, way.messages)) / RECORDS
    return (
        f"| {way.name} | {size:,.0f} | {rate:,.0f} | {by_rate:.2f} | {core:,.0f} | {by_core:.2f} |"
    )


def main() -> None:
    """Measures, and prints a table."""
    options = argparse.ArgumentParser(prog="bench.receive", description=__doc__)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--only", default="", help="protocols whose name holds this text")
    options.add_argument("--scratch", type=Path, default=Path("bench"))
    chosen = options.parse_args()
    native, *others = ways()
    print(json.dumps(machine()))
    print(f"{CONNECTIONS} connections, {RECORDS:,} records a message, medians of {chosen.runs}")
    print("| protocol | bytes a record | entries/s | of native | entries/s of a core | of native |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for way in (native, *others):
        if chosen.only.lower() not in way.name.lower():
            continue
        with (
            tempfile.TemporaryDirectory(dir=chosen.scratch) as folder,
            _server(Path(folder)) as (server, ports),
        ):
            _pair(server, ports, way, native, 1)  # nobody is measured cold
            pairs = [_pair(server, ports, way, native, chosen.seconds) for _ in range(chosen.runs)]
        print(_row(way, pairs), flush=True)


if __name__ == "__main__":
    main()
