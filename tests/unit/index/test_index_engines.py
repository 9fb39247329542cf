"""The Delta table of an index as other engines read it: every row, every column, while it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from index_fixture import LOG, SHARD, Clock, add, open_index, table_of
from tests.engines import READERS, Reader, leaves

from muniment.event.schema import SCHEMA
from muniment.index import check_index, table
from muniment.index.columns import fit
from muniment.index.log_index import LogIndex
from muniment.index.merge import FAN_IN

OTHER = "99999999"
EARLIER = pa.schema([field for field in table.TABLE_SCHEMA if field.name not in ("load", "tls")])


def access_lines(first: int, count: int, day: str) -> list[bytes]:
    """What HAProxy says of requests: columns that the JSON events do not have."""
    header = orjson.dumps({"at": f"{day}T10:00:00.000000Z", "node": "n", "as": "haproxy"}) + b"\n"
    line = (
        "10.0.0.{client}:5000 [05/Mar/2026:10:00:{second:02d}.100] web~ app/s{server} "
        '0/0/1/{n}/{n} {status} 532 - - ---- 1/1/0/0/0 0/0 "GET /a/{n} HTTP/1.1"'
    )
    return [
        header
        + line.format(
            client=n % 7, second=n % 60, server=n % 3, n=n, status=503 if n % 5 == 0 else 200
        ).encode()
        for n in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Merged and single parts, of two shards and three days, begun with fewer columns."""
    directory = tmp_path_factory.mktemp("engines") / LOG
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "TABLE_SCHEMA", EARLIER)
        index = open_index(directory, clock)
        add(index, 5)
        index.flush()
        index.close()
    index = open_index(directory, clock)
    for number in range(2 * FAN_IN):
        add(index, 3, day=number % 2)
        add(index, 2, day=number % 3, shard=OTHER)
        index.flush()
    while index.merge():
        pass
    clock.seconds += 1_000
    index.merge()  # the replaced parts go
    first = index.next_index(SHARD)
    rows = table_of(access_lines(first, 50, "2026-03-05"), first)
    index.append(SHARD, rows, first + 50)
    index.flush()
    index.close()
    return directory


def own(index: LogIndex) -> pa.Table:
    """What Muniment itself reads of an index that is open."""
    parts = index.snapshot.parts
    tables = [fit(pq.ParquetFile(index.directory / part.path).read(), SCHEMA) for part in parts]
    days = [pa.array([part.day] * part.rows, pa.string()) for part in parts]
    return pa.concat_tables(
        [one.append_column("day", day) for one, day in zip(tables, days, strict=True)]
    )


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_column_of_every_row_is_what_muniment_reads(read: Reader, directory: Path) -> None:
    index = open_index(directory)
    expected = leaves(own(index))
    parts = index.snapshot.parts
    index.close()
    assert max(part.rows for part in parts) >= 3 * FAN_IN  # merged
    assert len({part.day for part in parts}) == 4 and len({part.shard for part in parts}) == 2
    found = leaves(read(directory))
    assert len(found["index"]) == 5 + 2 * FAN_IN * 5 + 50
    for name, values in expected.items():
        assert found[name] == values, name
    assert check_index(directory) == [], "a reader left something behind"


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A log of which a checkpoint has taken the place of older commits; rows wait in memory."""
    directory = tmp_path_factory.mktemp("checkpointed")
    index = open_index(directory)
    for _ in range(70):
        add(index, 1)
        index.flush()
    add(index, 3)
    yield directory
    index.close()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_checkpoint_is_read_and_rows_in_memory_are_not(read: Reader, checkpointed: Path) -> None:
    assert any((checkpointed / "_delta_log").glob("*.checkpoint.parquet"))
    assert not (checkpointed / "_delta_log" / f"{1:020d}.json").exists()
    assert leaves(read(checkpointed))["index"] == list(range(70))


def test_the_table_asks_nothing_of_a_reader_that_the_first_version_did_not_have(
    directory: Path,
) -> None:
    protocol = DeltaTable(str(directory)).protocol()
    assert (protocol.min_reader_version, protocol.reader_features) == (1, None)


def test_a_snapshot_stays_whole_while_its_parts_are_merged(tmp_path: Path) -> None:
    """For as long as replaced parts are kept; what is taken with links stays for good."""
    clock = Clock()
    index = open_index(tmp_path / "index", clock)
    for _ in range(FAN_IN):
        add(index, 2)
        index.flush()
    before = DeltaTable(str(tmp_path / "index"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for number, uri in enumerate(before.file_uris()):
        (copy / f"{number}.parquet").hardlink_to(uri)
    assert index.merge()
    assert before.to_pyarrow_dataset().count_rows() == 2 * FAN_IN
    clock.seconds += 1_000
    index.merge()
    with pytest.raises(FileNotFoundError):
        before.to_pyarrow_dataset().to_table()
    after = DeltaTable(str(tmp_path / "index"))
    assert after.transaction_version(SHARD) == after.to_pyarrow_dataset().count_rows()
    assert sum(pq.read_metadata(path).num_rows for path in copy.iterdir()) == 2 * FAN_IN
    index.close()
