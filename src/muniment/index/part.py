"""Parts: the Parquet files of the index. Written once; the name carries the content's SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

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
    groups = (fit(group, schema) for table in reversed(tables) for group in _sorted(table))
    return write_groups(directory, day, schema, groups, working=working, sync=sync)


def _sorted(table: pa.Table) -> Iterator[pa.Table]:
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
    """Writes sorted row groups of one shard and day as one part. Raises OSError.

    A file that is being written ends in `.tmp`; only the whole, synced file gets its name.
    `working` tells apart those who write at the same time.
    """
    folder = directory / f"day={day}"
    if not folder.exists():
        folder.mkdir()
        sync_directory(directory, sync)
    unfinished = folder / f"{working}{WORKING}"
    shards: set[str] = set()
    rows, ranges = 0, _Ranges()
    with unfinished.open("wb") as file:
        with pq.ParquetWriter(file, schema, **_options(schema)) as writer:
            for group in groups:
                writer.write_table(group, row_group_size=ROW_GROUP)
                ranges.add(group)
                rows += group.num_rows
                shards.update(group["shard"].unique().to_pylist())
                del group  # or it would be kept while the next one is made
        file.flush()
        sync(file.fileno())
    (shard,) = shards
    name = f"{shard}-{ranges.first:020d}-{rows:010d}-{file_digest(unfinished)}{SUFFIX}"
    size = unfinished.stat().st_size
    unfinished.rename(folder / name)
    sync_directory(folder, sync)
    return Part(
        path=f"day={day}/{name}",
        size=size,
        shard=shard,
        day=day,
        rows=rows,
        first=ranges.first,
        last=ranges.last,
        earliest=ranges.earliest,
        latest=ranges.latest,
        columns=leaf_columns(schema),
    )


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
