"""Parts: the Parquet files of the index. Written once; the name carries the content's SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from muniment.index.columns import fit, leaf_columns, newest_first, schema_of

ROW_GROUP = 20_000
SUFFIX = ".parquet"
WORKING = ".tmp"
_NAME = re.compile(r"([^/]+)-(\d{20})-(\d{10})-([0-9a-f]{64})\.parquet\Z", re.ASCII)
_BLOOM = ("metadata.correlation_uid", "http_request.uid", "src_endpoint.ip")
_RANGED = (
    "index",
    "time",
    "time_dt",
    "received",
    "class_uid",
    "status_id",
    "http_response.code",
    "parse_error",
)
_DAY = 86_400_000_000
_DISTINCT = {"raw_data", "index", "time", "time_dt", "metadata.correlation_uid", "http_request.uid"}


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file: `rows` entries of one shard that were received on one day (UTC).

    `path` is relative to the log's index directory, `size` is in bytes, times are milliseconds
    since the epoch. Rows stand newest first. `columns` are the leaf columns that the file has;
    None when not known without opening it.
    """

    path: str
    size: int
    shard: str
    day: str
    rows: int
    first: int
    last: int
    earliest: int
    latest: int
    columns: frozenset[str] | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """The SHA-256 that the name promises, in hexadecimal."""
        return name_digest(self.path)


def name_digest(path: str) -> str:
    """Returns the SHA-256 in the name of a part. Raises ValueError where it is no such name."""
    found = _NAME.match(path.rpartition("/")[2])
    if found is None:
        raise ValueError(f"{path} is not the name of a part")
    return found[4]


def name_shard(path: str) -> str:
    """Returns the shard in the name of a part. Raises ValueError where it is no such name."""
    found = _NAME.match(path.rpartition("/")[2])
    if found is None:
        raise ValueError(f"{path} is not the name of a part")
    return found[1]


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def by_day(table: pa.Table) -> dict[str, pa.Table]:
    """Cuts a table by the day of receipt (UTC), which the sender cannot choose.

    Days of event time would let one hostile sender open a partition a row.
    """
    micros = table["received"].cast(pa.int64())
    numbers = pc.fill_null(pc.divide(micros, _DAY), 0)
    found = pc.unique(numbers).to_pylist()
    if len(found) == 1:
        return {_day(found[0]): table}
    return {_day(number): table.filter(pc.equal(numbers, number)) for number in found}


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")


def write_part(
    directory: Path,
    day: str,
    tables: Sequence[pa.Table],
    *,
    working: str = "part",
    sync: Callable[[int], None] = os.fsync,
) -> Part:
    """Writes tables of one shard and day, the last one first, as one part. Raises OSError.

    Each row group is sorted; the part is durable when this returns.
    """
    schema = schema_of(frozenset().union(*(leaf_columns(table.schema) for table in tables)))
    groups = (fit(group, schema) for table in reversed(tables) for group in sorted_groups(table))
    return write_groups(directory, day, schema, groups, working=working, sync=sync)


def write_parts(
    directory: Path, tables: Sequence[pa.Table], *, sync: Callable[[int], None] = os.fsync
) -> list[Part]:
    """Writes tables of any shards and days, the last one first, a part for each shard and day.

    Raises OSError.
    """
    places: dict[tuple[str, str], list[pa.Table]] = {}
    for table in tables:
        shards = pc.unique(table["shard"]).to_pylist()
        for shard in shards:
            rows = table if len(shards) == 1 else table.filter(pc.equal(table["shard"], shard))
            for day, of_day in by_day(rows).items():
                places.setdefault((shard, day), []).append(of_day)
    return [write_part(directory, day, found, sync=sync) for (_, day), found in places.items()]


def sorted_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Row groups of about the same size, newest first."""
    order = newest_first(table)
    number = -(-len(order) // ROW_GROUP)
    rows = -(-len(order) // number)
    for start in range(0, len(order), rows):
        yield table.take(order.slice(start, rows))


def write_groups(
    directory: Path,
    day: str,
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    *,
    working: str = "part",
    sync: Callable[[int], None] = os.fsync,
) -> Part:
    """Writes sorted row groups of one shard and day as one part. Raises OSError."""
    with PartWriter(directory, day, schema, working=working, sync=sync) as writer:
        for group in groups:
            writer.add(group)
            del group  # or it would be kept while the next one is made
        return writer.finish()


class PartWriter:
    """A part of one shard and day that grows by sorted row groups with the columns of `schema`.

    A file that is being written ends in `.tmp`; only the whole, synced file gets its name.
    `working` tells apart those who write at the same time. All methods raise OSError.
    """

    def __init__(
        self,
        directory: Path,
        day: str,
        schema: pa.Schema,
        *,
        working: str = "part",
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.schema = schema
        self._day, self._sync = day, sync
        self._folder = directory / f"day={day}"
        if not self._folder.exists():
            self._folder.mkdir()
            sync_directory(directory, sync)
        self._shards: set[str] = set()
        self._rows, self._ranges = 0, _Ranges()
        self._unfinished = self._folder / f"{working}{WORKING}"
        self._file = self._unfinished.open("wb")
        self._writer = pq.ParquetWriter(self._file, schema, **_options(schema))

    def add(self, group: pa.Table) -> None:
        """Writes a row group."""
        self._writer.write_table(group, row_group_size=ROW_GROUP)
        self._ranges.add(group)
        self._rows += group.num_rows
        self._shards.update(group["shard"].unique().to_pylist())

    def finish(self) -> Part:
        """Gives the part its name and returns it, durable."""
        self._writer.close()
        self._file.flush()
        self._sync(self._file.fileno())
        self._file.close()
        (shard,) = self._shards
        ranges, digest = self._ranges, file_digest(self._unfinished)
        name = f"{shard}-{ranges.first:020d}-{self._rows:010d}-{digest}{SUFFIX}"
        size = self._unfinished.stat().st_size
        self._unfinished.rename(self._folder / name)
        sync_directory(self._folder, self._sync)
        return Part(
            path=f"day={self._day}/{name}",
            size=size,
            shard=shard,
            day=self._day,
            rows=self._rows,
            first=ranges.first,
            last=ranges.last,
            earliest=ranges.earliest,
            latest=ranges.latest,
            columns=leaf_columns(self.schema),
        )

    def close(self) -> None:
        """Lets go of a file that will not be finished."""
        if not self._file.closed:
            with suppress(OSError):
                self._writer.close()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Ranges:
    """Lowest and highest index and time of what was added."""

    def __init__(self) -> None:
        self.first = self.earliest = 1 << 62
        self.last = self.latest = -(1 << 62)

    def add(self, group: pa.Table) -> None:
        times, indexes = group["time"], group["index"]
        low, high = pc.min_max(times).as_py().values()
        self.earliest, self.latest = min(self.earliest, low), max(self.latest, high)
        low, high = pc.min_max(indexes).as_py().values()
        self.first, self.last = min(self.first, low), max(self.last, high)


def sync_directory(directory: Path, sync: Callable[[int], None] = os.fsync) -> None:
    """Makes the names in a directory durable. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)


def _options(schema: pa.Schema) -> dict[str, object]:
    """Writer options: statistics and bloom filters only where a query gains from them."""
    leaves = leaf_columns(schema)
    order = [("time", "descending"), ("index", "descending")]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": sorted(leaves - _DISTINCT),
        "write_statistics": [name for name in _RANGED if name in leaves],
        "bloom_filter_options": {
            name: {"ndv": ROW_GROUP, "fpp": 0.02} for name in _BLOOM if name in leaves
        },
        "sorting_columns": pq.SortingColumn.from_ordering(schema, order),
        "store_schema": False,
    }
