"""Turns, flushes beside them, and merges that wait: what lets an index keep up with a fast log."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from index_fixture import (
    FRAME,
    LOG,
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

from muniment import kernel
from muniment.errors import Corrupt
from muniment.index import check_index, log_index, reading
from muniment.index.follower import Follower
from muniment.index.reading import packed_rows, take
from muniment.query.process import Settle


def reader_of(count: int) -> ListReader:
    reader = ListReader(entries(count))
    reader.advance(count)
    return reader


def test_a_turn_takes_whole_frames_up_to_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(50)
    assert (take(reader, 0).first, take(reader, 0).count) == (0, 50)
    assert kernel.unpack(take(reader, 47).payload) == entries(3, 47)
    monkeypatch.setattr(reading, "MAX_ENTRIES", 10)
    assert take(reader, 3).count == 2 * FRAME
    monkeypatch.setattr(reading, "MAX_BYTES", 1)
    assert take(reader, 3).count == FRAME


def test_a_turn_ends_where_the_log_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the frame goes on: an index must never be ahead of its log."""
    reader = reader_of(20)
    whole = reader.packed(0)
    reader.size = 5
    monkeypatch.setattr(reader, "packed", lambda start: whole)
    assert kernel.unpack(take(reader, 0).payload) == entries(5)


def test_what_cannot_be_read_ends_a_turn_and_fails_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = reader_of(20)
    real = reader.packed

    def torn(start: int) -> object:
        if start >= FRAME:
            raise Corrupt("x.seg", 4096, "a frame", "nothing")
        return real(start)

    monkeypatch.setattr(reader, "packed", torn)
    assert take(reader, 0).count == FRAME
    with pytest.raises(Corrupt):
        take(reader, FRAME)


def test_packed_entries_become_the_same_rows() -> None:
    turn = take(reader_of(30), 0)
    assert packed_rows(turn, log=LOG, shard=SHARD).equals(table_of(entries(30)))


def test_rows_come_in_while_others_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(tmp_path)
    add(index, 6)
    add(index, 2)
    write = log_index.write_parts

    def meanwhile(*arguments: object, **options: object) -> object:
        add(index, 3)
        assert all_rows(index) == expected_rows(11)
        return write(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(log_index, "write_parts", meanwhile)
    index.flush()
    monkeypatch.undo()
    assert (index.recent_rows, index.next_index(SHARD)) == (3, 11)
    assert all_rows(index) == expected_rows(11)
    index.close()
    again = open_index(tmp_path)
    assert all_rows(again) == expected_rows(11)
    again.close()
    assert check_index(tmp_path) == []


def test_rows_that_are_not_the_next_ones_are_not_taken(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    add(index, 4)
    assert not index.append(SHARD, table_of(entries(3, 5), 5), 8)
    assert not index.append(SHARD, table_of(entries(4)), 4)
    assert index.append(SHARD, table_of(entries(1, 4), 4), 5)
    assert all_rows(index) == expected_rows(5)
    index.close()


def test_merges_wait_while_the_index_is_far_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.index.state.FAR_BEHIND", 10)
    monkeypatch.setattr("muniment.index.follower._MOST_PARTS", 20)
    readers = [ListReader(entries(100))]
    follower = Follower(
        tmp_path, lambda path: readers[0], clock=time.monotonic, now=Clock().now, flush_rows=1
    )
    follower.start({LOG: [SHARD]})
    try:
        index = follower.index(LOG)
        state = follower._logs[LOG]
        assert not follower._postponed(state, index)
        monkeypatch.setattr(type(state), "lag", property(lambda state: 11))
        assert follower._postponed(state, index)
        monkeypatch.setattr("muniment.index.follower._MOST_PARTS", 0)
        assert not follower._postponed(state, index)
    finally:
        follower.stop()


def test_reading_waits_for_a_flush_when_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.index.flusher._MOST_BYTES", 1)
    monkeypatch.setattr(reading, "MAX_ENTRIES", 1)
    gate, waiting = threading.Event(), threading.Event()
    write = log_index.write_parts

    def slow(*arguments: object, **options: object) -> object:
        waiting.set()
        assert gate.wait(20)
        return write(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(log_index, "write_parts", slow)
    reader = ListReader(entries(5 * FRAME))
    follower = Follower(
        tmp_path, lambda path: reader, clock=time.monotonic, now=Clock().now, flush_rows=1
    )
    follower.start({LOG: [SHARD]})
    try:
        follower.advance(LOG, SHARD, 5 * FRAME)
        assert waiting.wait(20)
        index = follower.index(LOG)
        time.sleep(0.3)
        assert index.next_index(SHARD) == FRAME
        gate.set()
        while index.next_index(SHARD) < 5 * FRAME:
            time.sleep(0.01)
        assert all_rows(index) == expected_rows(5 * FRAME)
    finally:
        gate.set()
        follower.stop()


def test_memory_is_handed_back_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr("muniment.query.process._TRIM", calls.append)
    clock = Clock()
    settle = Settle(clock)
    for seconds in (0.0, 0.5, 0.4, 0.2, 5.0):
        clock.seconds += seconds
        settle()
    assert len(calls) == 3
