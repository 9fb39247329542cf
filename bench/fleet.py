"""Ingest by 1, 2 and 4 nodes of `muniment up`, straight to the nodes and through their HAProxy.

    python -m bench.fleet [--nodes 1 2 4] [--requests 160] [--runs 3]

starts fleets on this machine, sends 1 MiB batches over TLS to the ingest nodes, one load generator
a node, and then to the HAProxy that `muniment edge run` configured in front of them. It prints
entries a second, and the CPU seconds that a million entries cost the nodes and the edge. With one
machine's cores the rate ends where the cores do, load generators included; what an entry costs must
not grow with the number of nodes. The query node is stopped: the index has figures of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.lines import bodies
from bench.load import Run, _Connection
from bench.measures import MIB
from bench.report import machine

PATH = "/api/v1/logs/default/entries?as=json"
CONNECTIONS = 8
_START_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Measure:
    """One run: entries a second; CPU seconds a million entries, of the nodes and of the edge."""

    rate: float
    cpu: float
    edge_cpu: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running fleet: where it listens, who its processes are, what a client shows."""

    directory: Path
    token: str
    edge: int
    nodes: tuple[int, ...]
    node_pids: tuple[int, ...]
    edge_pids: tuple[int, ...]


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes, without their children."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Every process below one, and its command line."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            yield child, command
            yield from descendants(child)


@contextmanager
def up(count: int, folder: Path) -> Iterator[Fleet]:
    """A fleet of `muniment up` with so many ingest nodes; its query node is stopped."""
    directory, output = folder / "fleet", folder / "up.txt"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "muniment", "up", "--nodes", str(count), "--query", "1"]
    command += ["--dir", str(directory), "--port", str(port), "--edge", "haproxy", "--quiet"]
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        token = _wait_up(process, output)
        found = dict(descendants(process.pid))
        query = [pid for pid, text in found.items() if "/query-1/" in text]
        for pid in query:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield _fleet(directory, token, port, found)
        finally:
            for pid in query:
                os.kill(pid, signal.SIGCONT)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)


def _wait_up(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        text = output.read_text(errors="replace")
        found = re.search(r"mun_\w{8}_[\w-]{43}", text)
        if found and "Ctrl-C ends" in text:
            return found[0]
        time.sleep(0.2)
    raise SystemExit(f"the fleet did not start:\n{output.read_text(errors='replace')[-2000:]}")


def _fleet(directory: Path, token: str, port: int, found: dict[int, str]) -> Fleet:
    described: dict[str, Any] = tomllib.loads((directory / "edge.toml").read_text())
    nodes = [node for node in described["node"] if "ingest" in node["roles"]]
    return Fleet(
        directory=directory,
        token=token,
        edge=port,
        nodes=tuple(int(node["address"].rpartition(":")[2]) for node in nodes),
        node_pids=tuple(pid for pid, text in found.items() if "/ingest-" in text),
        edge_pids=tuple(
            pid
            for pid, text in found.items()
            if text.startswith(("haproxy", "/")) and "haproxy" in text.split(" ")[0]
        ),
    )


def load(fleet: Fleet, ports: Sequence[int], requests: int) -> tuple[float, float, float]:
    """Runs a generator a port at the same time; returns entries, seconds and the worst p99."""
    each, connections = requests // len(ports), max(1, CONNECTIONS // len(ports))
    command = [sys.executable, "-m", "bench.fleet", "--load", str(fleet.directory)]
    env = {**os.environ, "MUNIMENT_TOKEN": fleet.token}
    generators = [
        subprocess.Popen(
            [*command, str(port), str(connections), str(each)], stdout=subprocess.PIPE, env=env
        )
        for port in ports
    ]
    answers = [json.loads(one.communicate(timeout=300)[0]) for one in generators]
    entries = sum(answer["entries"] for answer in answers)
    seconds = max(answer["seconds"] for answer in answers)
    return entries, seconds, max(answer["p99_ms"] for answer in answers)


async def _generate(directory: Path, port: int, connections: int, total: int) -> None:
    """The load generator: as `bench.load`, over TLS, with a client's certificate and a token."""
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    context.check_hostname = False  # nodes have another name than the edge
    context.load_cert_chain(directory / "tls" / "client.pem", directory / "tls" / "client.key")
    payloads = bodies(min(total, 64), MIB)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {os.environ['MUNIMENT_TOKEN']}\r\n"
        "Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    ).encode()
    run = Run([head % len(body) + body for body in payloads], total, connections)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port, ssl=context)
    await run.done
    seconds = time.perf_counter() - started
    p99 = sorted(run.latencies)[len(run.latencies) * 99 // 100] * 1_000
    entries = len(run.latencies) * payloads[0].count(b"\n")
    json.dump({"entries": entries, "seconds": seconds, "p99_ms": p99}, sys.stdout)


def measure(fleet: Fleet, ports: Sequence[int], requests: int) -> Measure:
    """Loads the fleet through these ports."""
    nodes, edge = cpu_seconds(fleet.node_pids), cpu_seconds(fleet.edge_pids)
    entries, seconds, p99 = load(fleet, ports, requests)
    nodes, edge = cpu_seconds(fleet.node_pids) - nodes, cpu_seconds(fleet.edge_pids) - edge
    return Measure(entries / seconds, nodes / entries * 1e6, edge / entries * 1e6, p99)


def median(runs: Sequence[Measure]) -> Measure:
    """The medians of several runs, one by one."""
    middle = statistics.median
    return Measure(
        middle(one.rate for one in runs),
        middle(one.cpu for one in runs),
        middle(one.edge_cpu for one in runs),
        middle(one.p99_ms for one in runs),
    )


def row(count: int, way: str, found: Measure, first: Measure) -> str:
    """Returns a row of the table; ratios are to the first row."""
    return (
        f"| {count} | {way} | {found.rate:,.0f} | {found.rate / first.rate:.2f} "
        f"| {found.cpu:.2f} | {found.cpu / first.cpu:.2f} | {found.edge_cpu:.2f} "
        f"| {found.p99_ms:.0f} |"
    )


HEAD = (
    "| nodes | way | entries/s | of the first row | CPU s a million entries | of the first row "
    "| edge CPU s | p99 ms |\n|---:|---|---:|---:|---:|---:|---:|---:|"
)


def main() -> None:
    """Measures and prints, or is the load generator of a measurement."""
    parser = argparse.ArgumentParser(prog="bench.fleet", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--requests", type=int, default=160, help="of 1 MiB, a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.load is not None:
        directory, *numbers = chosen.load
        uvloop.run(_generate(Path(directory), *map(int, numbers)))
        return
    print(f"{json.dumps(machine())}\n\n{HEAD}")
    first: Measure | None = None
    for count in chosen.nodes:
        with tempfile.TemporaryDirectory() as name, up(count, Path(name)) as fleet:
            load(fleet, fleet.nodes, chosen.requests // 4)  # warms
            for way, ports in (("straight", fleet.nodes), ("HAProxy", (fleet.edge,))):
                runs = [measure(fleet, ports, chosen.requests) for _ in range(chosen.runs)]
                found = median(runs)
                first = first or found
                print(row(count, way, found, first), flush=True)


if __name__ == "__main__":
    main()
