"""Legal holds: on record, set in the stores, kept through crashes, released only where free."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_log import DATA, LOG, SHARD, KeptLog
from simulator import Fault

from muniment import kernel
from muniment.errors import Conflict, Corrupt, InputError, NotFound, TryLater, Unavailable
from muniment.log import Batch
from muniment.store.names import segment_key, tree_key
from muniment.store.retention.follow import Found
from muniment.store.retention.hold import Hold, What, hold_of, new_hold
from muniment.store.retention.holds import Holds
from muniment.store.retention.ranges import Range, Ranges, meets

PLACED = "2026-01-02T03:04:05.000000Z"


def hold_on(
    what: What, ranges: list[Range] | None = None, name: str = "case-7", **said: Any
) -> Hold:
    found = {SHARD: ranges} if ranges else {}
    return new_hold(name, "a lawsuit", "alice", PLACED, what, ranges=found, **said)


@pytest.fixture
def log() -> KeptLog:
    """A log of ten small segments, all archived."""
    found = KeptLog(stores=2)
    found.write(commits=10)
    found.round()
    return found


def held_in(log: KeptLog, number: int = 0) -> list[str]:
    store = log.stores[number]
    return [key for key in store.backing.contents() if store.state(key).hold]


def last_act(log: KeptLog) -> dict[str, Any]:
    header, _, body = log.shard.reader.entry(log.shard.size - 1).partition(b"\n")
    return {"header": json.loads(header), **json.loads(body)}


def test_a_hold_is_an_entry_and_keeps_its_segments(log: KeptLog) -> None:
    first, second = log.firsts()[2:4]
    log.retention.place(LOG, hold_on(What.QUERY, [(first + 3, first + 4)], query="status:500"))
    act = last_act(log)
    assert (act["action"], act["actor"], act["query"]) == ("hold.place", "alice", "status:500")
    assert (act["header"]["via"], act["header"]["from"]) == ("muniment", "alice")
    log.round()
    keys = {segment_key(LOG, SHARD, first), tree_key(LOG, SHARD, first)}
    for number in range(2):
        assert set(held_in(log, number)) == keys
    assert log.retention.held(LOG, SHARD, first, second)
    assert not log.retention.held(LOG, SHARD, 0, first)
    log.passes(10_000)
    log.round()
    assert log.minimum == first
    assert "is on legal hold" in log.one.shard_states[SHARD].kept_back
    log.retention.release(LOG, "case-7", "bob", "settled")
    assert (last_act(log)["action"], last_act(log)["actor"]) == ("hold.release", "bob")
    log.round()
    assert held_in(log) == []
    assert log.minimum > first
    assert log.verify().findings == []
    log.close()


def test_a_hold_on_the_log_keeps_what_comes_later(log: KeptLog) -> None:
    log.retention.place(LOG, hold_on(What.LOG))
    log.round()
    assert set(held_in(log)) == set(log.stores[0].backing.contents())
    log.write(commits=5)
    log.round()
    assert set(held_in(log)) == set(log.stores[0].backing.contents())
    log.passes(100_000)
    log.round()
    assert log.minimum == 0
    log.close()


def test_another_hold_keeps_what_one_lets_go(log: KeptLog) -> None:
    first = log.firsts()[3]
    log.retention.place(LOG, hold_on(What.QUERY, [(first, first + 1)]))
    log.retention.place(LOG, hold_on(What.QUERY, [(first + 1, first + 2)], "case-8"))
    log.round()
    log.retention.release(LOG, "case-7", "alice", "settled")
    log.round()
    assert set(held_in(log)) == {segment_key(LOG, SHARD, first), tree_key(LOG, SHARD, first)}
    log.retention.release(LOG, "case-8", "alice", "settled")
    log.round()
    assert held_in(log) == []
    log.close()


def test_a_hold_of_somebody_else_is_left_alone(log: KeptLog) -> None:
    key = segment_key(LOG, SHARD, log.firsts()[1])
    log.stores[0].hold(key, True)
    log.retention.place(LOG, hold_on(What.QUERY, [(0, 1)]))
    log.round()
    log.retention.release(LOG, "case-7", "alice", "settled")
    log.round()
    assert held_in(log) == [key]
    log.close()


def test_a_hold_on_an_object_counts_until_entries_are_looked_through(log: KeptLog) -> None:
    size = log.shard.size
    log.retention.place(
        LOG, hold_on(What.OBJECT, [(5, 6)], object="haproxy:a/b/c", seen={SHARD: size})
    )
    assert not log.retention.held(LOG, SHARD, 60, size)
    assert log.retention.held(LOG, SHARD, 60, size + 1)
    log.one.holds.see("case-7", {SHARD: [(size + 2, size + 3)]}, {SHARD: size + 50})
    assert log.retention.held(LOG, SHARD, size + 2, size + 10)
    assert not log.retention.held(LOG, SHARD, size + 3, size + 50)
    log.close()


def test_a_hold_that_cannot_be_looked_through_is_told(log: KeptLog) -> None:
    log.retention.place(LOG, hold_on(What.OBJECT, [(5, 6)], object="haproxy:a/b/c", seen={}))
    stopping = asyncio.Event()
    told: list[str] = []

    async def resolve(of: str, hold: Hold, seen: Mapping[str, int]) -> Found:
        told.append(log.one.trouble)
        if len(told) == 1:
            log.retention.wake()
            raise Unavailable("the query process is starting")
        stopping.set()
        return {}, {SHARD: log.shard.size}

    log.retention.resolve = resolve
    asyncio.run(asyncio.wait_for(log.retention.run(stopping), 60))
    assert told == ["", "the hold case-7 was not looked through: the query process is starting"]
    assert log.one.trouble == ""
    log.close()


def test_what_the_archive_was_told_to_hold_is_let_go_again(log: KeptLog) -> None:
    first, second = log.firsts()[2:4]
    log.retention.place(LOG, hold_on(What.QUERY, [(first, first + 1)]))
    assert log.retention.held(LOG, SHARD, first, second)
    log.stores[0].hold(segment_key(LOG, SHARD, first), True)
    log.retention.release(LOG, "case-7", "alice", "settled")
    log.round()
    assert held_in(log) == []
    log.close()


def test_the_register_is_made_anew_from_the_entries(log: KeptLog) -> None:
    log.retention.place(LOG, hold_on(What.QUERY, [(7, 9)], query="x", since=PLACED))
    log.retention.place(LOG, hold_on(What.LOG, name="case-8"))
    log.retention.release(LOG, "case-8", "alice", "settled")
    known = list(log.one.holds)
    path = DATA / "retention" / f"{LOG}.holds.json"
    for lost in (None, b"{broken"):
        log.disk.poke(path, lost)
        log.restart()
        assert list(log.one.holds) == known
    log.close()


def test_everything_is_held_until_a_lost_register_is_found(
    log: KeptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.retention.place(LOG, hold_on(What.QUERY, [(7, 9)]))
    monkeypatch.setattr("muniment.store.retention.holds.AT_ONCE", 10)
    log.disk.poke(DATA / "retention" / f"{LOG}.holds.json", None)
    log.restart()
    assert log.retention.held(LOG, SHARD, 500, 501)
    with pytest.raises(Unavailable):
        log.retention.place(LOG, hold_on(What.LOG, name="case-8"))
    log.passes(100_000)
    log.round()
    assert not log.retention.held(LOG, SHARD, 500, 501)
    assert [hold.name for hold in log.one.holds] == ["case-7"]
    assert log.minimum == 0
    log.close()


def test_entries_of_others_place_no_hold(log: KeptLog) -> None:
    record = json.dumps(hold_on(What.LOG).record(), separators=(",", ":")).encode()
    for header in (b'{"via":"http","as":"muniment"}\n', b'{"via":"muniment","as":"json"}\n'):
        log.shard.submit(Batch(kernel.pack_records([record], header))).result(60)
    log.disk.poke(DATA / "retention" / f"{LOG}.holds.json", None)
    log.restart()
    assert list(log.one.holds) == []
    log.close()


def test_a_hold_that_could_not_be_put_on_record_counts_all_the_same(
    log: KeptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TryLater("not now")

    with monkeypatch.context() as patched:
        patched.setattr(log.one.acts, "put", refuse)
        with pytest.raises(TryLater):
            log.retention.place(LOG, hold_on(What.QUERY, [(0, 1)]))
    assert not log.one.holds.get("case-7").on_record
    log.passes(100_000)
    log.restart()
    assert log.retention.held(LOG, SHARD, 0, 60)
    log.round()
    assert log.one.holds.get("case-7").on_record
    assert log.minimum == 0
    with monkeypatch.context() as patched:
        patched.setattr(log.one.acts, "put", refuse)
        with pytest.raises(TryLater):
            log.retention.release(LOG, "case-7", "bob", "settled")
    log.restart()
    assert log.one.holds.get("case-7").ending["actor"] == "bob"
    log.round()
    assert list(log.one.holds) == []
    log.close()


def test_a_hold_that_somebody_took_off_is_set_again_and_put_on_record(log: KeptLog) -> None:
    log.retention.place(LOG, hold_on(What.QUERY, [(0, 1)]))
    log.round()
    (tree, segment) = sorted(held_in(log, 0))[::-1]
    size = log.shard.size
    log.stores[0].hold(segment, False)
    log.passes(7_200)
    log.clock.seconds += 7_200
    log.round()
    assert sorted(held_in(log, 0)) == [segment, tree]
    texts = [entry for entry in log.shard.reader.read(size).entries if b"hold.lost" in entry]
    assert len(texts) == 1 and segment.encode() in texts[0] and tree.encode() not in texts[0]
    log.close()


def test_a_store_that_fails_is_held_later(log: KeptLog) -> None:
    log.stores[1].faults.always(Fault.UNREACHABLE, "hold")
    log.retention.place(LOG, hold_on(What.QUERY, [(0, 1)]))
    log.round()
    assert len(held_in(log, 0)) == 2 and held_in(log, 1) == []
    assert log.one.states["store-1"].trouble
    log.stores[1].faults.clear()
    log.round()
    assert len(held_in(log, 1)) == 2
    log.close()


def test_names_are_taken_once(log: KeptLog) -> None:
    log.retention.place(LOG, hold_on(What.LOG))
    with pytest.raises(Conflict, match="there is a hold case-7"):
        log.retention.place(LOG, hold_on(What.LOG))
    with pytest.raises(NotFound):
        log.retention.release(LOG, "case-9", "alice", "settled")
    with pytest.raises(InputError):
        log.retention.release(LOG, "case-7", "alice", " ")
    with pytest.raises(InputError):
        hold_on(What.LOG, name="a/b")
    log.close()


def test_the_entry_of_a_hold_is_held_with_it(log: KeptLog) -> None:
    log.retention.place(LOG, hold_on(What.QUERY, [(0, 1)]))
    index = log.one.holds.get("case-7").index
    log.write(commits=6)
    assert log.retention.held(LOG, SHARD, index, index + 1)
    assert not log.retention.held(LOG, SHARD, index + 1, index + 100)
    log.close()


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 9)), max_size=60), st.integers(1, 40))
def test_ranges_cover_all_that_was_added(added: list[tuple[int, int]], most: int) -> None:
    ranges = Ranges([], most)
    for first, length in added:
        ranges.add(first, first + length)
    found = ranges.list()
    assert len(found) <= most
    assert found == sorted(found)
    assert all(a[1] < b[0] for a, b in pairwise(found))
    for first, length in added:
        assert all(meets(found, index, index + 1) for index in range(first, first + length))
    if len(added) <= most // 2:
        exact = {i for first, length in added for i in range(first, first + length)}
        assert exact == {i for first, stop in found for i in range(first, stop)}


@pytest.mark.fuzz
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["resource", "name", "what", "ranges", "seen", "time", SHARD]), inner
    ),
))  # fmt: skip
def test_any_record_is_a_hold_or_corrupt(record: Any) -> None:
    said = record if isinstance(record, dict) else {"ranges": record}
    try:
        hold_of(said, SHARD, 7)
    except Corrupt:
        return


@pytest.mark.fuzz
@given(st.binary(max_size=200))
def test_any_register_is_read_or_made_anew(data: bytes) -> None:
    from simulated_disk import SimulatedDisk

    disk = SimulatedDisk()
    disk.make_directory(Path("data/retention"))
    disk.poke(Path("data/retention/web.holds.json"), data)
    assert list(Holds.open(Path("data"), LOG, {}, disk)) == []
