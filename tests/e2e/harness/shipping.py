"""What is asked of everything that follows a file and ships its lines: all of them, as many times
as they stand there, found by what stands in them, and none lost over kills of the server."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from muniment.trust.directory import verify_directory

from .process import Process
from .server import MunimentServer, split_entry, stored_entries
from .waiting import wait_for

LINE = '203.0.113.9 - - [21/Nov/2026:10:00:00 +0000] "GET {} HTTP/1.1" 200 17 "-" "probe/1.0"'
BURST = 400


class Shipper(Protocol):
    """A running client that follows a file."""

    process: Process

    def write(self, *lines: str) -> None:
        """Appends lines to the file."""


def write(shipper: Shipper, paths: Iterable[str]) -> None:
    """Appends one access line for each path."""
    shipper.write(*map(LINE.format, paths))


def entries(server: MunimentServer, log: str) -> list[tuple[dict[str, Any], bytes]]:
    """Returns receipt header and bytes of every entry of a log that a sender sent."""
    (found,) = [each for each in server.get("/api/v1/logs")["logs"] if each["name"] == log]
    (shard,) = found["shards"]
    stored = stored_entries(server.data / "logs" / log / shard["shard"], shard["size"])
    pairs = [(json.loads(header), raw) for header, raw in map(split_entry, stored)]
    # The server itself writes of a recovery.
    return [(header, raw) for header, raw in pairs if not header["as"].startswith("muniment")]


def paths(server: MunimentServer, log: str) -> Counter[str]:
    """Counts the entries of each path that was requested; each entry has exactly one."""
    counted: Counter[str] = Counter()
    for _, raw in entries(server, log):
        (path,) = set(re.findall(rb"GET (\S+) HTTP", raw))
        counted[path.decode()] += 1
    return counted


def assert_exact(server: MunimentServer, shipper: Shipper, logs: Iterable[str]) -> None:
    """A thousand identical lines among others stay a thousand in each log."""
    wanted = Counter({"/same": 1_000} | {f"/one/{n}": 1 for n in range(500)})
    write(shipper, wanted.elements())
    for log in logs:
        wait_for(
            lambda log=log: paths(server, log).total() >= wanted.total(),
            lambda log=log: f"{log}: {paths(server, log).total()}{told(shipper)}",
        )
        assert paths(server, log) == wanted, log


def assert_found(server: MunimentServer, shipper: Shipper, logs: Iterable[str]) -> None:
    """A line is read in its envelope, and found by what stands in it."""
    write(shipper, ["/found/once"])
    for log in logs:

        def found(log: str = log) -> list[dict[str, Any]]:
            answer = server.get(f"/api/v1/logs/{log}/search", q="path:/found/once")
            return list(answer["rows"])

        (row,) = wait_for(found, f"the line in {log}")
        assert row["http_response"]["code"] == 200, row
        assert row["src_endpoint"]["ip"] == "203.0.113.9", row


def assert_nothing_lost(server: MunimentServer, shipper: Shipper, logs: list[str]) -> None:
    """Whatever is written before, during and after three kills arrives in each log."""
    sent: list[str] = []

    def burst(when: str, run: int) -> None:
        sent.extend(f"/{when}/{run}/{n}" for n in range(BURST))
        write(shipper, sent[-BURST:])

    for run in range(3):
        before = server.get("/api/v1/logs")["logs"]
        burst("before", run)
        wait_for(
            lambda before=before: server.get("/api/v1/logs")["logs"] != before,
            "some of the burst to be durable",
        )
        server.kill()
        burst("during", run)
        server.start()
        burst("after", run)
    for log in logs:

        def missing(log: str = log) -> int:
            return len(set(sent) - set(paths(server, log)))

        wait_for(
            lambda missing=missing: not missing(),
            lambda missing=missing, log=log: f"{log}: {missing()}{told(shipper)}",
            120,
        )
    counted = {log: paths(server, log) for log in logs}
    again = {log: sum(count[path] - 1 for path in sent) for log, count in counted.items()}
    print(f"\nof {len(sent)} lines over three kills, entries beyond the first: {again}")
    report = verify_directory(server.data)
    assert report.intact, "\n".join(map(str, report.findings))


def told(shipper: Shipper) -> str:
    """The newest of what a shipper printed."""
    return f"\n{shipper.process.printed()[-3000:]}"
