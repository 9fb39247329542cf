"""Durability `replicated`, and the archive, against a real gateway; beside plain puts to it.

    python -m bench.store [--runs 5] [--rate 300000] [--seconds 30]

starts a Ceph RADOS gateway on loopback (objects in memory), a node that is replicated into it and
archives to it, and measures: acknowledged bytes a second in 1 MiB batches, and latencies, beside
what the same gateway takes in plain puts of objects of the same size, as many at a time, in the
same run; whether the archive follows; and what a million entries cost in requests and bytes at the
list prices of S3.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.gateway import Ceph, gateway, table
from bench.lines import LINE_BYTES
from bench.measures import MIB, Row
from bench.report import machine
from bench.report import table as rows_table
from bench.server import Server, serve
from muniment.store.opening import open_store
from muniment.store.port import Store

IN_FLIGHT = 8
CONFIG = """
worm_check = "off"
segment_size = "{segment}"
{durability}
[[store]]
lock = "compliance"
{archive}
[retention.default]
minimum = "1d"
"""
REPLICATED = """
durability = "replicated"
[wal]
"""

PUT_PRICE = 0.005 / 1_000
GET_PRICE = 0.0004 / 1_000
GB_MONTH = 0.023
"""List prices of S3 Standard in us-east-1, in US dollars; a DELETE is free."""

_METRIC = re.compile(r"^(muniment_\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


def metrics(server: Server) -> dict[str, float]:
    """Returns the metrics of a server, summed over their labels."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for name, _, value in _METRIC.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


@dataclass
class Plain:
    """Plain puts: bytes and objects a second, and the latencies in milliseconds."""

    bytes: float
    objects: float
    latencies: list[float]


def plain_puts(store: Store, size: int, count: int, threads: int, run: str) -> Plain:
    """Puts `count` objects of `size` bytes that do not compress, `threads` at a time."""
    body = os.urandom(size)

    def put(number: int) -> float:
        started = time.perf_counter()
        store.put(f"plain/{run}/{number}", body)
        return 1_000 * (time.perf_counter() - started)

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        latencies = list(pool.map(put, range(count)))
    seconds = time.perf_counter() - started
    for number in range(count):
        store.remove(f"plain/{run}/{number}")
    return Plain(size * count / seconds, count / seconds, latencies)


def batches(server: Server, store: Store, runs: int, *, dense: bool) -> Row:
    """1 MiB batches on 8 connections, beside plain puts of objects as large as theirs.

    The rate is that of write-ahead objects where lines hardly compress (`dense`), so that both
    sides move the same bytes; else that of entries, which is what users see.
    """
    found: list[tuple[float, float]] = []
    loads: list[dict[str, float]] = []
    objects = stored = 0.0
    for run in range(runs + 1):
        before = metrics(server)
        done = server.load(8, 200, MIB, dense=dense)
        after = metrics(server)
        objects = after["muniment_wal_objects_total"] - before["muniment_wal_objects_total"]
        stored = after["muniment_wal_bytes_total"] - before["muniment_wal_bytes_total"]
        moved = stored if dense else done["entries"] * LINE_BYTES
        plain = plain_puts(store, max(1, int(stored / objects)), 100, IN_FLIGHT, f"{dense}-{run}")
        if run:  # the first one warms
            found.append((moved / done["seconds"], plain.bytes))
            loads.append(done)
    median = statistics.median
    rate = median(done["entries"] / done["seconds"] for done in loads)
    return Row(
        "replicated, 1 MiB batches, 8 connections: "
        + ("write-ahead objects, lines that hardly compress" if dense else "entries"),
        "bytes/s",
        median(ours for ours, _ in found),
        f"plain puts of {stored / objects / 1024:,.0f} KiB, {IN_FLIGHT} at a time",
        median(theirs for _, theirs in found),
        median(ours / theirs for ours, theirs in found),
        runs,
        f"{rate:,.0f} entries/s, p50 {median(d['p50_ms'] for d in loads):.1f} ms, "
        f"p99 {median(d['p99_ms'] for d in loads):.1f} ms",
    )


def singles(server: Server, store: Store, runs: int) -> Row:
    """One entry a request on 64 connections: the latency of an answer beside that of a put."""
    ours, theirs, rates = [], [], []
    for run in range(runs):
        done = server.load(64, 4_000, LINE_BYTES)
        plain = plain_puts(store, 8 << 10, 200, 1, f"singles-{run}")
        ours.append(done["p50_ms"])
        theirs.append(statistics.median(plain.latencies))
        rates.append(done["entries"] / done["seconds"])
    median = statistics.median
    return Row(
        "replicated, 1 entry a request, 64 connections: median answer",
        "µs",
        1_000 * median(ours),
        "a plain put of 8 KiB, one at a time",
        1_000 * median(theirs),
        median(a / b for a, b in zip(ours, theirs, strict=True)),
        runs,
        f"{median(rates):,.0f} entries/s",
    )


def follow(server: Server, rate: float, seconds: float) -> list[str]:
    """Ingest held at one rate beside the archive; the index's process is stopped meanwhile."""
    (query,) = server.children()
    os.kill(query, signal.SIGSTOP)
    try:
        numbers = [str(server.port), str(rate), str(seconds)]
        command = [sys.executable, "-m", "bench.sustained", "--load", *numbers]
        started, backlog = metrics(server)["muniment_store_bytes_total"], []
        load = subprocess.Popen(command, stdout=subprocess.PIPE)
        while load.poll() is None:
            time.sleep(1.0)
            backlog.append(metrics(server)["muniment_store_waiting_bytes"] / MIB)
        done = json.loads(load.communicate()[0])
        ended, carried = time.monotonic(), metrics(server)["muniment_store_bytes_total"]
        while metrics(server)["muniment_store_waiting"] and time.monotonic() < ended + 300:
            time.sleep(0.2)
        drained = time.monotonic() - ended
    finally:
        os.kill(query, signal.SIGCONT)
    entries = done["acknowledged"] / done["seconds"]
    return [
        f"archive beside {entries:,.0f} entries/s for {done['seconds']:.0f} s "
        f"({done['refused']:,} refused):",
        f"  {(carried - started) / MIB / done['seconds']:.1f} MiB/s put, read back and confirmed",
        f"  waiting, each fifth second: {', '.join(f'{b:.0f}' for b in backlog[::5])} MiB",
        f"  all of it confirmed {drained:.1f} s after the load ended",
    ]


def costs(server: Server) -> str:
    """Returns what a million entries took in requests and bytes, and costs at list prices."""
    while metrics(server)["muniment_store_waiting"]:
        time.sleep(0.5)
    found = metrics(server)
    millions = found["muniment_shard_entries_total"] / 1e6
    puts = found["muniment_wal_objects_total"] / millions
    kept = found["muniment_store_objects_total"] / millions
    wal_bytes = found["muniment_wal_bytes_total"] / millions
    archive_bytes = found["muniment_store_bytes_total"] / millions
    lines = [
        "| a million entries of 300 bytes | requests | bytes | US$ |",
        "|---|---:|---:|---:|",
        f"| write-ahead puts (removed later, for nothing) | {puts:,.0f} | {wal_bytes:,.0f} "
        f"| {puts * PUT_PRICE:.4f} |",
        f"| archive: puts | {kept:,.1f} | {archive_bytes:,.0f} | {kept * PUT_PRICE:.5f} |",
        f"| archive: head before, read back after | {2 * kept:,.1f} | {archive_bytes:,.0f} "
        f"| {2 * kept * GET_PRICE:.5f} |",
        f"| archive: a month | | {archive_bytes:,.0f} | {archive_bytes / 1e9 * GB_MONTH:.4f} |",
    ]
    return "\n".join(lines)


def settings(ceph: Ceph, segment: str, *, replicated: bool) -> str:
    """Returns the settings of a node with buckets of its own."""
    wal = REPLICATED + table(ceph.connection(ceph.plain_bucket())) if replicated else ""
    locked = table(ceph.connection(ceph.lock_bucket()))
    return CONFIG.format(durability=wal, archive=locked, segment=segment)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=300_000, help="entries/s beside the archive")
    parser.add_argument("--seconds", type=float, default=30.0, help="of that rate")
    chosen = parser.parse_args()
    with gateway() as ceph, tempfile.TemporaryDirectory(dir="bench") as folder:
        store = open_store(ceph.connection(ceph.plain_bucket()), "plain")
        with serve(
            Path(folder) / "local", config=settings(ceph, "16MiB", replicated=False)
        ) as server:
            followed = follow(server, chosen.rate, chosen.seconds)
        config = settings(
            ceph, "1GiB", replicated=True
        )  # the archive waits: it has its own figures
        with serve(Path(folder) / "replicated", config=config) as server:
            rows = [
                batches(server, store, chosen.runs, dense=False),
                batches(server, store, chosen.runs, dense=True),
                singles(server, store, chosen.runs),
            ]
        config = settings(ceph, "16MiB", replicated=True)
        with serve(Path(folder) / "both", config=config) as server:
            server.load(8, 400, MIB)
            priced = costs(server)
    print(json.dumps(machine()))
    print(rows_table(rows, "rate", "limit"))
    print("\n".join(followed))
    print(priced)


if __name__ == "__main__":
    main()
