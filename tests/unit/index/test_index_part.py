"""Parts: sorted, named after what they hold, one for each day of receipt."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from index_fixture import SHARD, entries, table_of

from muniment.index.columns import leaf_columns, prune
from muniment.index.part import by_day, name_digest, name_shard, write_part


def test_the_name_says_shard_first_index_count_and_digest(tmp_path: Path) -> None:
    part = write_part(tmp_path, "2026-03-01", [prune(table_of(entries(9, 40), 40))])
    digest = sha256((tmp_path / part.path).read_bytes()).hexdigest()
    assert part.path == f"day=2026-03-01/{SHARD}-{40:020d}-{9:010d}-{digest}.parquet"
    assert (name_shard(part.path), name_digest(part.path)) == (SHARD, digest)
    assert (part.first, part.last, part.rows) == (40, 48, 9)
    assert part.size == (tmp_path / part.path).stat().st_size


def test_rows_stand_newest_first_in_row_groups_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.index.part.ROW_GROUP", 10)
    part = write_part(tmp_path, "2026-03-01", [prune(table_of(entries(35)))])
    file = pq.ParquetFile(tmp_path / part.path)
    times = file.read()["time"].to_pylist()
    assert times == sorted(times, reverse=True)
    assert (part.latest, part.earliest) == (times[0], times[-1])
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert groups == [9, 9, 9, 8]


def test_a_part_knows_the_columns_that_it_has(tmp_path: Path) -> None:
    part = write_part(tmp_path, "2026-03-01", [prune(table_of(entries(3)))])
    assert part.columns == leaf_columns(pq.read_schema(tmp_path / part.path))
    assert part.columns is not None
    assert "actor.user.name" in part.columns
    assert "http_response.code" not in part.columns


def test_days_are_days_of_receipt() -> None:
    table = pa.concat_tables([table_of(entries(4)), table_of(entries(3, 4, day=1), 4)])
    found = {day: rows["index"].to_pylist() for day, rows in by_day(table).items()}
    assert found == {"2026-03-01": [0, 1, 2, 3], "2026-03-02": [4, 5, 6]}


def test_rows_without_a_time_of_receipt_belong_to_the_first_day_of_all() -> None:
    assert list(by_day(table_of([b"no header\nline"]))) == ["1970-01-01"]


@pytest.mark.parametrize("name", ["x.parquet", "a-1-2-3.parquet", "../../etc/passwd", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a part"):
        name_digest(name)
