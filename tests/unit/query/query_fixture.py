"""Rows, and indexes that hold them: what the tests of the query language and search share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from muniment.event.schema import SCHEMA
from muniment.index.log_index import LogIndex
from muniment.query.engine import Engine
from muniment.query.search import Page, Request, search

LOG = "edge"
BASE = 1_772_359_200_000
"""2026-03-01T10:00:00Z in milliseconds since the epoch."""


def row(
    index: int, *, time_ms: int | None = None, shard: str = "aaaa", **more: Any
) -> dict[str, Any]:
    """A whole row: what every one has, and whatever else."""
    at = BASE + index * 1000 if time_ms is None else time_ms
    instant = datetime.fromtimestamp(at / 1000, UTC)
    received = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return {
        "log": LOG,
        "shard": shard,
        "index": index,
        "time": at,
        "time_dt": instant,
        "received": received,
        "source": "json",
        "class_uid": 4002,
        "raw_data": f"line {index} of {shard}",
    } | more


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


@contextmanager
def index_in(directory: Path) -> Iterator[LogIndex]:
    """An empty index in a folder."""
    index = LogIndex(
        directory / LOG,
        LOG,
        clock=time.monotonic,
        now=lambda: time.time_ns() // 1_000_000,
        sync=lambda handle: None,
    )
    yield index
    index.close()


def append(index: LogIndex, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows of one shard, in the order of their index."""
    index.append(rows[0]["shard"], table(rows), rows[-1]["index"] + 1)


def ask(index: LogIndex, engine: Engine, q: str = "", **more: Any) -> Page:
    return search(index, index.snapshot, engine, Request(q=q, **more))


def places(page: Page) -> list[tuple[str, int]]:
    """The address of each row of a page."""
    rows = [orjson.loads(row) for row in page.rows]
    return [(row["shard"], row["index"]) for row in rows]


def every_page(index: LogIndex, engine: Engine, q: str = "", **more: Any) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    cursor = None
    while True:
        page = ask(index, engine, q, cursor=cursor, **more)
        found += places(page)
        cursor = page.next
        if cursor is None:
            return found
