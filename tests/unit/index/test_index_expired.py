"""Rows of entries that have expired leave the index."""

from __future__ import annotations

from pathlib import Path

from index_fixture import (
    SHARD,
    Clock,
    ListReader,
    add,
    all_rows,
    entries,
    expected_rows,
    open_index,
    table_of,
)

OTHER = "other"


def test_rows_below_the_minimum_go(tmp_path: Path) -> None:
    clock = Clock()
    index = open_index(tmp_path, clock)
    for _ in range(3):
        add(index, 50)
        index.flush()
    add(index, 30)
    assert index.forget(SHARD, 75)
    assert all_rows(index) == expected_rows(180)[75:]
    assert not index.forget(SHARD, 75)
    clock.seconds += 1_000
    index.merge()
    named = {part.path for part in index.snapshot.parts}
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")}
    index.close()
    assert there == named
    again = open_index(tmp_path)
    assert all_rows(again) == expected_rows(180)[75:]
    assert again.next_index(SHARD) == 180
    again.close()


def test_recent_rows_below_the_minimum_go(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    add(index, 40)
    add(index, 40, shard=OTHER)
    index.forget(SHARD, 25)
    assert all_rows(index) == sorted(expected_rows(40)[25:] + expected_rows(40, OTHER))
    index.close()


def test_everything_can_go(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    add(index, 40)
    index.flush()
    assert index.forget(SHARD, 40)
    assert all_rows(index) == []
    add(index, 5)
    index.close()
    again = open_index(tmp_path)
    assert all_rows(again) == expected_rows(45)[40:]
    again.close()


def test_another_shard_stays(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    add(index, 40, shard=OTHER)
    add(index, 40)
    index.flush()
    index.forget(SHARD, 40)
    assert all_rows(index) == expected_rows(40, OTHER)
    index.close()


def test_an_index_begins_at_the_minimum(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    reader = ListReader(entries(60), 60, minimum=20)
    index.skip(SHARD, reader.minimum)
    found = reader.packed(index.next_index(SHARD))
    assert found.first == 20
    assert index.append(SHARD, table_of(entries(10, 20), 20), 30)
    index.skip(SHARD, 20)
    assert index.next_index(SHARD) == 30
    index.close()
