"""Entries, a reader over them, and indexes made of them: what the tests of the index share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from muniment.index.log_index import LogIndex
from muniment.index.manifest import Sync
from muniment.index.reading import rows
from muniment.log.frame import BatchId
from muniment.log.runs import Run

LOG, SHARD = "edge", "0a1b2c3d"
DAY = 86_400
FRAME = 8
"""Entries in a frame of a `ListReader`."""


@dataclass
class Clock:
    """Seconds that move when a test moves them.

    The Delta library compares when a file was removed with the real time, so `now` is real.
    """

    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass
class PackedRun:
    """Consecutive entries, packed, as a shard reader gives them."""

    first: int
    count: int
    payload: bytes
    ids: Sequence[BatchId] = ()


def packed(found: Sequence[bytes]) -> bytes:
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in found])


@dataclass
class ListReader:
    """A shard in memory."""

    entries: list[bytes] = field(default_factory=list)
    size: int = 0
    fault: Exception | None = None
    minimum: int = 0

    def advance(self, size: int) -> None:
        self.size = max(self.size, size)

    def refresh(self) -> int:
        return self.minimum

    def packed(self, start: int) -> PackedRun:
        if self.fault is not None:
            raise self.fault
        found = self.entries[start : min(self.size, start + FRAME)]
        return PackedRun(start, len(found), packed(found))

    def read(self, start: int, max_entries: int) -> Run:
        return Run(start, self.entries[start : min(self.size, start + max_entries)])


def entry(number: int, *, day: int = 0) -> bytes:
    """A native JSON event; the time jumps about a little, as real ones do."""
    at = f"2026-03-{1 + day:02d}T10:00:00.000000Z"
    header = orjson.dumps({"at": at, "node": "n", "via": "http", "as": "json"}) + b"\n"
    second = (number * 7) % 60
    event = {
        "time": f"2026-03-{1 + day:02d}T10:{number // 60 % 60:02d}:{second:02d}Z",
        "actor": f"user{number % 5}",
        "action": "read",
        "resource": f"/items/{number}",
        "outcome": "success" if number % 3 else "failure",
    }
    return header + orjson.dumps(event)


def entries(count: int, first: int = 0, *, day: int = 0) -> list[bytes]:
    return [entry(number, day=day) for number in range(first, first + count)]


def table_of(found: Sequence[bytes], first: int = 0, shard: str = SHARD) -> pa.Table:
    return rows(found, log=LOG, shard=shard, first=first)


def open_index(
    directory: Path, clock: Clock | None = None, sync: Sync = lambda handle: None
) -> LogIndex:
    clock = clock or Clock()
    return LogIndex(directory, LOG, clock=clock, now=clock.now, sync=sync)


def add(index: LogIndex, count: int, *, day: int = 0, shard: str = SHARD) -> None:
    """Appends the next `count` entries of a shard."""
    first = index.next_index(shard)
    table = table_of(entries(count, first, day=day), first, shard)
    index.append(shard, table, first + count)


def all_rows(index: LogIndex) -> list[tuple[str, int, str]]:
    """Every row that a query can see, as (shard, index, raw line), in order."""
    found: list[tuple[str, int, str]] = []
    snapshot = index.snapshot
    tables = [recent.table for recent in snapshot.recent]
    tables += [pq.ParquetFile(index.trusted(part)).read() for part in snapshot.parts]
    for table in tables:
        columns = (table[name].to_pylist() for name in ("shard", "index", "raw_data"))
        found += zip(*columns, strict=True)
    return sorted(found)


def expected_rows(count: int, shard: str = SHARD) -> list[tuple[str, int, str]]:
    return [(shard, number, entry(number).partition(b"\n")[2].decode()) for number in range(count)]
