"""From the evidence to rows: what the follower needs of a shard, and decoding that never fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from muniment.event import SCHEMA, decode

MAX_ENTRIES = 8_192
MAX_BYTES = 1 << 20
_BAD = "the decoder failed: {}"


class EntryRun(Protocol):
    """Consecutive entries: `entries[0]` has the index `first`."""

    @property
    def first(self) -> int:
        """The index of the first entry."""

    @property
    def entries(self) -> list[bytes]:
        """The entries' bytes."""


class Reader(Protocol):
    """What the follower needs of a shard; `muniment.log.ShardReader` is one."""

    @property
    def size(self) -> int:
        """Entries that can be read."""

    def advance(self, size: int) -> None:
        """Tells that the first `size` entries are durable."""

    def read(self, start: int, max_entries: int = ..., max_bytes: int = ...) -> EntryRun:
        """Returns entries from `start`, at least one where there is one, within the bounds."""


OpenReader = Callable[[Path], Reader]


def rows(entries: Sequence[bytes], *, log: str, shard: str, first: int) -> pa.Table:
    """Returns one row an entry, whatever the entries are; `time` is never null.

    Where the decoder fails on an entry, which is a fault in Muniment, the row says so in
    `parse_error` and keeps the bytes: one entry must not stop an index.
    """
    try:
        table = decode(entries, log=log, shard=shard, first=first)
    except Exception as error:  # a parser's fault must not stop the index
        if len(entries) == 1:
            table = _undecoded(entries[0], log, shard, first, error)
        else:
            middle = len(entries) // 2
            return pa.concat_tables(
                [
                    rows(entries[:middle], log=log, shard=shard, first=first),
                    rows(entries[middle:], log=log, shard=shard, first=first + middle),
                ]
            )
    return _with_time(table)


def _with_time(table: pa.Table) -> pa.Table:
    """Rows without a time, for want of a readable receipt header, stand at the epoch."""
    for name in ("time", "time_dt"):
        if table[name].null_count:
            place = table.schema.get_field_index(name)
            field = table.schema.field(place)
            filled = pc.fill_null(table[name], pa.scalar(0, pa.int64()).cast(field.type))
            table = table.set_column(place, field, filled)
    return table


def _undecoded(entry: bytes, log: str, shard: str, index: int, error: Exception) -> pa.Table:
    row = {
        "log": log,
        "shard": shard,
        "index": index,
        "class_uid": 0,
        "category_uid": 0,
        "activity_id": 0,
        "type_uid": 0,
        "severity_id": 0,
        "status_id": 0,
        "parse_error": _BAD.format(type(error).__name__),
        "raw_data": entry.decode("utf-8", "backslashreplace"),
    }
    return pa.Table.from_pylist([row], schema=SCHEMA)
