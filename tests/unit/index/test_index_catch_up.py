"""An index that is far behind takes many rows at once, past memory, and none is lost or double."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from index_fixture import (
    FRAME,
    LOG,
    SHARD,
    Clock,
    ListReader,
    all_rows,
    entries,
    expected_rows,
    open_index,
    table_of,
)

from muniment.errors import Corrupt
from muniment.index import catch_up, check_index
from muniment.index.columns import prune
from muniment.index.follower import Follower
from muniment.index.log_index import LogIndex


def turns(count: int, of: int, first: int = 0) -> Iterator[tuple[pa.Table, int]]:
    for start in range(first, count, of):
        found = entries(min(of, count - start), start)
        yield prune(table_of(found, start)), start + len(found)


def test_rows_become_searchable_together_as_one_part(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    assert index.catch_up(SHARD, turns(50, 20)) == 50
    assert [part.rows for part in index.snapshot.parts] == [50]
    assert (index.recent_rows, index.next_index(SHARD)) == (0, 50)
    assert index.catch_up(SHARD, turns(80, 20, 50)) == 30
    assert all_rows(index) == expected_rows(80)
    index.close()
    again = open_index(tmp_path)
    assert (all_rows(again), again.next_index(SHARD)) == (expected_rows(80), 80)
    again.close()
    assert check_index(tmp_path) == []


def test_nothing_to_take_changes_nothing(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    assert index.catch_up(SHARD, iter(())) == 0
    assert (index.snapshot.parts, index.next_index(SHARD)) == ((), 0)
    index.close()
    assert check_index(tmp_path) == []


def test_each_day_has_a_part_and_a_new_column_begins_another(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    plain = entries(3) + entries(2, 3, day=1)
    more = [entry[:-1] + b',"reason":"because"}' for entry in entries(2, 5)]
    tables = [(prune(table_of(plain)), 5), (prune(table_of(more, 5)), 7), *turns(9, 2, 7)]
    assert index.catch_up(SHARD, iter(tables)) == 9
    found = sorted((part.day, part.first, part.rows) for part in index.snapshot.parts)
    assert found == [("2026-03-01", 0, 3), ("2026-03-01", 5, 4), ("2026-03-02", 3, 2)]
    lines = [line for _, _, line in all_rows(index)][5:7]
    assert lines == [entry.partition(b"\n")[2].decode() for entry in more]
    index.close()
    assert check_index(tmp_path) == []


def test_after_a_failing_disk_the_same_rows_are_taken_again(tmp_path: Path) -> None:
    failing = False

    def sync(handle: int) -> None:
        if failing:
            raise OSError(5, "Input/output error")
        os.fsync(handle)

    index = LogIndex(tmp_path, LOG, clock=time.monotonic, now=lambda: 1_800_000_000_000, sync=sync)
    assert index.catch_up(SHARD, turns(10, 5)) == 10
    failing = True
    with pytest.raises(OSError, match="Input/output"):
        index.catch_up(SHARD, turns(30, 5, 10))
    assert (all_rows(index), index.next_index(SHARD)) == (expected_rows(10), 10)
    failing = False
    index.reopen()
    assert index.catch_up(SHARD, turns(30, 5, 10)) == 20
    assert all_rows(index) == expected_rows(30)
    index.close()
    assert check_index(tmp_path) == []


def until(holds: object) -> None:
    deadline = time.monotonic() + 120
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def followed(tmp_path: Path, reader: ListReader) -> Follower:
    follower = Follower(
        tmp_path, lambda path: reader, clock=time.monotonic, now=Clock().now, flush_rows=1_000
    )
    follower.start({LOG: [SHARD]})
    return follower


def test_a_follower_far_behind_goes_past_memory_and_then_back_to_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.index.state.FAR_BEHIND", 40)
    monkeypatch.setattr(catch_up, "BULK_ROWS", 30)
    monkeypatch.setattr("muniment.index.reading.MAX_ENTRIES", FRAME)
    reader = ListReader(entries(150))
    follower = followed(tmp_path, reader)
    try:
        index = follower.index(LOG)
        follower.advance(LOG, SHARD, 5)
        until(lambda: index.next_index(SHARD) == 5)
        assert index.recent_rows == 5
        follower.advance(LOG, SHARD, 150)
        until(lambda: index.next_index(SHARD) == 150)
        parts = sum(part.rows for part in index.snapshot.parts)
        assert parts >= 150 - 40
        assert parts + index.recent_rows == 150
        assert all_rows(index) == expected_rows(150)
    finally:
        follower.stop()
    assert check_index(tmp_path / "index" / LOG) == []


def test_what_cannot_be_read_is_told_and_what_stands_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.index.state.FAR_BEHIND", 10)
    monkeypatch.setattr("muniment.index.reading.MAX_ENTRIES", FRAME)
    reader = ListReader(entries(100))
    real, broken = reader.packed, 6 * FRAME

    def torn(start: int) -> object:
        if start >= broken:
            raise Corrupt("x.seg", 4096, "a frame", "nothing")
        return real(start)

    monkeypatch.setattr(reader, "packed", torn)
    follower = followed(tmp_path, reader)
    try:
        follower.advance(LOG, SHARD, 100)
        until(lambda: "trouble" in follower.status()[LOG]["shards"][SHARD])
        index = follower.index(LOG)
        assert all_rows(index) == expected_rows(broken)
        assert follower.following() == []
    finally:
        follower.stop()
