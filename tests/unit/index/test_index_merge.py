"""Many small parts become few large ones, and hold the same rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_fixture import SHARD, Clock, add, all_rows, expected_rows, open_index

from muniment.index import check_index
from muniment.index.merge import FAN_IN, MAX_ROWS, choose
from muniment.index.part import Part


def part(first: int, rows: int, day: str = "2026-03-01", shard: str = SHARD) -> Part:
    name = f"day={day}/{shard}-{first:020d}-{rows:010d}-{first:064x}.parquet"
    return Part(name, 1, shard, day, rows, first, first + rows - 1, 0, 0)


SIZES = st.integers(1, MAX_ROWS)


@given(st.lists(SIZES, max_size=80))
def test_merging_ends_with_few_parts_of_bounded_size(sizes: list[int]) -> None:
    parts, first = [], 0
    for rows in sizes:
        parts.append(part(first, rows))
        first += rows
    total = sum(sizes)
    while group := choose(parts):
        assert len(group) > 1
        rows = sum(p.rows for p in group)
        assert rows <= MAX_ROWS
        parts = [p for p in parts if p not in group] + [part(group[-1].first, rows)]
    assert sum(p.rows for p in parts) == total
    small = [p for p in parts if p.rows < MAX_ROWS // 2]
    assert len(small) < FAN_IN * 6


def test_only_parts_of_one_shard_and_day_are_merged() -> None:
    parts = [part(n, 1, day=f"2026-03-{1 + n % 2:02d}", shard=f"s{n % 3}") for n in range(90)]
    assert choose(parts) == []
    parts += [part(n, 1, day="2026-03-01", shard="s0") for n in range(100, 101)]
    group = choose(parts)
    assert {(p.shard, p.day) for p in group} == {("s0", "2026-03-01")}


def test_merged_parts_hold_the_same_rows(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    for _ in range(FAN_IN):
        add(index, 3)
        index.flush()
    assert index.merge()
    assert not index.merge()
    assert len(index.snapshot.parts) == 1
    assert all_rows(index) == expected_rows(3 * FAN_IN)
    times = pq.ParquetFile(tmp_path / index.snapshot.parts[0].path).read()["time"].to_pylist()
    assert times == sorted(times, reverse=True)
    index.close()
    again = open_index(tmp_path)
    assert all_rows(again) == expected_rows(3 * FAN_IN)
    assert again.next_index(SHARD) == 3 * FAN_IN
    again.close()


def test_replaced_files_stay_for_a_while_for_those_who_read_them(tmp_path: Path) -> None:
    clock = Clock()
    index = open_index(tmp_path, clock)
    for _ in range(FAN_IN):
        add(index, 1)
        index.flush()
    before = index.snapshot
    index.merge()
    assert all((tmp_path / part.path).exists() for part in before.parts)
    assert check_index(tmp_path) == []
    clock.seconds += 1_000
    index.merge()
    assert not any((tmp_path / part.path).exists() for part in before.parts)
    assert check_index(tmp_path) == []
    index.close()


def test_rows_that_arrive_during_a_merge_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(tmp_path)
    for _ in range(FAN_IN):
        add(index, 2)
        index.flush()
    from muniment.index import log_index

    write = log_index.write_groups

    def meanwhile(*arguments: object, **options: object) -> Part:
        merged = write(*arguments, **options)  # type: ignore[arg-type]
        add(index, 2)
        index.flush()
        add(index, 2)
        return merged

    monkeypatch.setattr(log_index, "write_groups", meanwhile)
    assert index.merge()
    assert all_rows(index) == expected_rows(2 * FAN_IN + 4)
    index.close()
    assert check_index(tmp_path) == []


def test_the_more_shards_there_are_the_fewer_parts_each_has() -> None:
    for shards, most in ((1, FAN_IN), (4, FAN_IN), (8, FAN_IN // 2), (40, 4)):
        parts = [part(n, 9, shard=f"s{s}") for s in range(shards) for n in range(most - 1)]
        assert choose(parts) == []
        assert len(choose([*parts, part(most, 9, shard="s0")])) == most
