"""A follower takes shards as it learns of them, and leaves out what it has from another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet_fixture import Fleet
from index_fixture import LOG, Clock, all_rows

from muniment.errors import Corrupt
from muniment.index import catch_up, check_index
from muniment.index import reading as reading_module
from muniment.index import state as state_module
from muniment.index.copies import Copies
from muniment.index.follower import Follower
from muniment.index.log_index import LogIndex
from muniment.index.state import LogState, ShardState, furthest_behind
from muniment.log import ShardReader

A, B = "aaaa", "bbbb"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, [A, B]) as made:
        yield made


class Following:
    """A follower of a fleet's log, which begins with the shards that it is told."""

    def __init__(self, fleet: Fleet, *shards: str, flush_seconds: float = 20.0) -> None:
        self.fleet = fleet
        self.follower = Follower(
            fleet.data,
            ShardReader,
            clock=time.monotonic,
            now=Clock().now,
            flush_seconds=flush_seconds,
        )
        self.follower.start({LOG: shards})

    def tell(self, *shards: str) -> None:
        for shard in shards:
            self.follower.advance(LOG, shard, self.fleet.shards[shard].size)

    def indexed(self, *shards: str) -> None:
        index = self.follower.index(LOG)
        sizes = {shard: self.fleet.shards[shard].size for shard in shards}
        until(lambda: {shard: index.next_index(shard) for shard in shards} == sizes)

    def lines(self) -> list[str]:
        return sorted(line for _, _, line in all_rows(self.follower.index(LOG)))

    def stop(self) -> None:
        self.follower.stop()
        assert check_index(self.fleet.data / "index" / LOG) == []


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def test_a_log_that_begins_without_a_shard(fleet: Fleet) -> None:
    fleet.put(A, ["one"])
    fleet.put(B, ["two"])
    following = Following(fleet)
    assert following.lines() == []
    assert following.follower.status()[LOG]["shards"] == {}
    assert following.follower.following() == [LOG]
    following.tell(A)
    following.indexed(A)
    following.tell(B)
    following.indexed(B)
    assert following.lines() == ["one", "two"]
    assert following.follower.cursors() == {LOG: {A: 1, B: 1}}
    fleet.join("cccc")
    fleet.put("cccc", ["three"])
    following.tell("cccc")
    following.indexed("cccc")
    assert following.follower.status()[LOG]["shards"]["cccc"] == {
        "indexed": 1,
        "size": 1,
        "lag": 0,
    }
    following.stop()


def test_cursors_of_shards_that_came_are_kept(fleet: Fleet) -> None:
    fleet.put(A, ["one"], "k1")
    fleet.put(B, ["one"], "k1")
    following = Following(fleet)
    following.tell(A, B)
    following.indexed(A, B)
    following.stop()
    again = Following(fleet)  # it is told of no shard, and knows how far it is
    assert again.follower.cursors() == {LOG: {A: 1, B: 1}}
    fleet.put(B, ["two"])
    again.tell(B)
    again.indexed(B)
    assert again.lines() == ["one", "two"]
    assert again.follower.duplicates() == {LOG: (1, 0)}
    assert again.follower.status()[LOG]["duplicates"] == 1
    again.stop()


def test_copies_alone_are_flushed_when_it_is_time(fleet: Fleet) -> None:
    fleet.put(A, ["one"], "k1")
    following = Following(fleet, A, flush_seconds=0.05)
    following.tell(A)
    following.indexed(A)
    index = following.follower.index(LOG)
    until(lambda: index.flushed)
    fleet.put(B, ["one"], "k1")
    following.tell(B)
    following.indexed(B)
    until(lambda: index.flushed)
    assert index.recent_rows == 0
    following.stop()


@pytest.mark.parametrize("behind", [10, 10_000])
def test_catching_up_leaves_copies_out(
    fleet: Fleet, behind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "FAR_BEHIND", behind)
    monkeypatch.setattr(catch_up, "BULK_ROWS", 100)
    monkeypatch.setattr(reading_module, "MAX_ENTRIES", 1)  # a turn is a frame
    batches = [([f"{n} a", f"{n} b", f"{n} c"], f"id{n}") for n in range(200)]
    for start in range(0, 200, 20):
        fleet.put_all(A, batches[start : start + 20])
        fleet.put_all(B, batches[start : start + 20][::-1])
    following = Following(fleet, A)
    following.tell(A, B)
    following.indexed(A, B)
    assert following.lines() == sorted(line for lines, _ in batches for line in lines)
    assert following.follower.duplicates() == {LOG: (600, 0)}
    following.stop()


def test_the_oldest_shard_that_is_far_behind_goes_first(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "FAR_BEHIND", 10)
    fleet.put(A, ["one"] * 30)
    fleet.put(B, ["one"] * 30)
    index = LogIndex(fleet.data / "x", LOG, clock=time.monotonic, now=Clock().now)
    shards = {shard: ShardState(ShardReader(fleet.evidence / shard)) for shard in (A, B)}
    state = LogState(LOG, Copies(fleet.evidence, ShardReader), shards, index)
    assert furthest_behind(state, 0.0) is None
    for shard in shards.values():
        shard.reader.advance(30)
    shards[A].reached, shards[B].reached = 20, 10
    assert furthest_behind(state, 0.0) == B
    shards[B].retry_at = 5.0
    assert furthest_behind(state, 0.0) == A
    monkeypatch.setattr(state_module, "FAR_BEHIND", 30)
    assert furthest_behind(state, 0.0) is None
    index.close()


def test_a_shard_that_cannot_be_read_keeps_no_other(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.put(A, ["one"])
    fleet.put(B, ["two"])
    real = ShardReader.packed

    def torn(reader: ShardReader, start: int) -> object:
        if reader._directory.name == A:
            raise Corrupt("x.seg", 0, "a frame", "nothing")
        return real(reader, start)

    monkeypatch.setattr(ShardReader, "packed", torn)
    following = Following(fleet)
    following.tell(A, B)
    following.indexed(B)
    until(lambda: "trouble" in following.follower.status()[LOG]["shards"][A])
    assert following.lines() == ["two"]
    following.stop()


def test_twenty_shards_of_one_log(tmp_path: Path) -> None:
    names = [f"s{number:03d}" for number in range(20)]
    with Fleet(tmp_path, names) as fleet:
        following = Following(fleet, flush_seconds=0.01)
        for turn in range(6):
            for number, name in enumerate(names):
                fleet.put(name, [f"{turn} of {name}"], f"own {turn} {name}")
                fleet.put(name, [f"{turn} of all"], f"all {turn}")
                fleet.put(names[number - 1], [f"{turn} of {name}"], f"own {turn} {name}")
            following.tell(*names)
            following.indexed(*names)
        expected = [f"{turn} of {name}" for turn in range(6) for name in [*names, "all"]]
        assert following.lines() == sorted(expected)
        following.stop()
