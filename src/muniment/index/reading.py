"""From the evidence to rows: what the follower needs of a shard, and decoding that never fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from muniment import kernel
from muniment.errors import MunimentError
from muniment.event.decode import decode, decode_packed
from muniment.event.schema import SCHEMA
from muniment.log.frame import BatchId

MAX_ENTRIES = 12_288
MAX_BYTES = 3 << 20
"""A turn ends with the frame that reaches one of these: enough for the fixed cost of a turn to be
small, few enough for its rows to fit into memory twice."""
_BAD = "the decoder failed: {}"


class PackedRun(Protocol):
    """Consecutive entries, (uint16 big-endian length || entry)*; the first has index `first`."""

    @property
    def first(self) -> int:
        """The index of the first entry."""

    @property
    def count(self) -> int:
        """How many entries there are."""

    @property
    def payload(self) -> bytes:
        """The entries, packed."""

    @property
    def ids(self) -> Sequence[BatchId]:
        """The batches with an id that begin among them."""


class Run(Protocol):
    """Consecutive entries, one by one."""

    @property
    def entries(self) -> Sequence[bytes]:
        """The entries."""


class Reader(Protocol):
    """What the follower needs of a shard; `muniment.log.ShardReader` is one."""

    @property
    def size(self) -> int:
        """Entries that can be read."""

    @property
    def minimum(self) -> int:
        """The first entry that has not expired, as far as is known."""

    def refresh(self) -> int:
        """Looks whether more have expired, and returns the minimum."""

    def advance(self, size: int) -> None:
        """Tells that the first `size` entries are durable."""

    def packed(self, start: int) -> PackedRun:
        """Returns the entries from `start` to the end of their frame, as they are packed."""

    def read(self, start: int, max_entries: int) -> Run:
        """Returns entries from `start`, at least one where there is one."""


OpenReader = Callable[[Path], Reader]


@dataclass(frozen=True, slots=True)
class Turn:
    """Entries of one shard to be decoded together; see `PackedRun`."""

    first: int
    count: int
    payload: bytes
    ids: Sequence[BatchId] = ()

    @property
    def end(self) -> int:
        """The index of the entry that follows."""
        return self.first + self.count

    def head(self, count: int) -> Turn:
        """The first entries of a turn."""
        if self.count <= count:
            return self
        end = 0
        for _ in range(count):
            end += 2 + int.from_bytes(self.payload[end : end + 2], "big")
        ids = [batch for batch in self.ids if batch.first < self.first + count]
        return Turn(self.first, count, self.payload[:end], ids)


def take(reader: Reader, start: int) -> Turn:
    """Returns the entries from `start` as far as one turn goes. Raises MunimentError or OSError.

    What cannot be read ends the turn, and is raised by the next one.
    """
    payloads: list[bytes] = []
    ids: list[BatchId] = []
    after, size = start, 0
    while after < reader.size and after - start < MAX_ENTRIES and size < MAX_BYTES:
        try:
            run = reader.packed(after)
        except (MunimentError, OSError):
            if payloads:
                break
            raise
        payloads.append(run.payload)
        ids += run.ids
        after += run.count
        size += len(run.payload)
    whole = payloads[0] if len(payloads) == 1 else b"".join(payloads)
    # A frame may go on beyond what is known to be durable.
    return Turn(start, after - start, whole, ids).head(reader.size - start)


def packed_rows(turn: Turn, *, log: str, shard: str) -> pa.Table:
    """Returns one row an entry, whatever the entries are; see `rows`."""
    try:
        table = decode_packed(turn.payload, log=log, shard=shard, first=turn.first)
    except Exception:  # whose fault it is shows when the entries are taken one by one
        return rows(kernel.unpack(turn.payload), log=log, shard=shard, first=turn.first)
    return _with_time(table)


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
