"""What goes into one group commit, and what finds no room."""

from __future__ import annotations

import pytest
from live_shard import lines

from muniment.log import queue
from muniment.log.queue import BatchQueue
from muniment.log.waiting import Waiting


def waiting(text: str) -> Waiting:
    return Waiting(lines(text), lambda result: None, set())


def filled(*texts: str) -> BatchQueue:
    made = BatchQueue(10_000)
    for text in texts:
        made.put(waiting(text))
    return made


def sizes(queue: BatchQueue) -> list[int]:
    groups = []
    while group := queue.take_group():
        groups.append(len(group))
    assert (len(queue), queue.size) == (0, 0)
    return groups


def test_a_group_is_bounded_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "GROUP_BATCHES", 2)
    assert sizes(filled("a", "b", "c", "d", "e")) == [2, 2, 1]


def test_a_group_is_bounded_in_bytes_but_for_its_first(monkeypatch: pytest.MonkeyPatch) -> None:
    one = waiting("a").batch.size
    monkeypatch.setattr(queue, "GROUP_BYTES", 2 * one)
    assert sizes(filled("a", "b", "c", "d" * 1_000, "e")) == [2, 1, 1, 1]


def test_what_is_larger_than_the_bound_comes_in_alone() -> None:
    small = BatchQueue(10)
    large = waiting("x" * 100)
    assert small.has_room(large.batch)
    small.put(large)
    assert small.size == large.batch.size
    assert not small.has_room(waiting("y").batch)
    assert small.take_all() == [large]
    assert small.has_room(waiting("y").batch)
