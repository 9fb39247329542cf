"""Batches that came to several shards are in the index once, whatever order they are read in."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fleet_fixture import Fleet, Steps, header
from hypothesis import given, settings
from hypothesis import strategies as st
from index_fixture import LOG, ListReader, open_index, packed

from muniment.errors import Corrupt, Overloaded, Unavailable
from muniment.index import check_index, rebuild
from muniment.index import reading as reading_module
from muniment.index.copies import Copies
from muniment.index.marks import ABSENT, Marks
from muniment.index.places import Place, Places, key_of
from muniment.log import ShardReader
from muniment.log.frame import BatchId

A, B, C = "aaaa", "bbbb", "cccc"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, [A, B, C]) as made:
        yield made


def stop(steps: Steps, *, flushed: bool = True) -> None:
    """Ends the index, as a process does that is told to end, or as one does that is killed."""
    if flushed:
        steps.index.close()
    else:
        os.close(steps.index._table._handle)


def accounted(fleet: Fleet) -> None:
    assert check_index(fleet.data / "index" / LOG) == []


@pytest.mark.parametrize("order", list(itertools.permutations([A, B, C])))
def test_a_batch_that_came_three_times_is_there_once(fleet: Fleet, order: tuple[str, ...]) -> None:
    for shard in (A, B, C):
        fleet.put(shard, [f"own of {shard}"])
        fleet.put(shard, ["one", "two", "three"], "k1")
        fleet.put(shard, [f"after in {shard}"])
    steps = Steps(fleet)
    steps.read_all(*order)
    own = [f"own of {shard}" for shard in order] + [f"after in {shard}" for shard in order]
    assert steps.lines() == sorted([*own, "one", "two", "three"])
    assert {s for s, _, line in steps.rows() if line == "two"} == {order[0]}
    assert steps.index.duplicates == 6
    assert steps.copies.conflicts == 0
    assert steps.index.snapshot.cursors == {A: 5, B: 5, C: 5}
    stop(steps)
    accounted(fleet)


def test_rows_keep_their_index_between_copies(fleet: Fleet) -> None:
    batches = [([f"{number} a", f"{number} b"], f"id{number}") for number in range(40)]
    fleet.put_all(A, batches[::2])
    fleet.put_all(B, batches)
    steps = Steps(fleet)
    steps.read_all(A, B)
    expected = [
        (B, 2 * number + place, f"{number} {'ab'[place]}")
        for number in range(1, 40, 2)
        for place in range(2)
    ]
    assert [row for row in steps.rows() if row[0] == B] == expected
    assert len(steps.lines()) == len(set(steps.lines())) == 80
    stop(steps)


@pytest.mark.parametrize("flushed", [True, False])
def test_a_copy_is_known_after_a_restart(fleet: Fleet, flushed: bool) -> None:
    fleet.put(A, ["one", "two"], "k1")
    steps = Steps(fleet)
    steps.read_all(A)
    stop(steps, flushed=flushed)
    fleet.put(B, ["one", "two"], "k1")
    again = Steps(fleet)
    again.read_all(B, A)
    assert again.lines() == ["one", "two"]
    assert {shard for shard, _, _ in again.rows()} == {A if flushed else B}
    stop(again)
    accounted(fleet)


def test_a_shard_that_nobody_has_told_of_since_the_restart_is_known(fleet: Fleet) -> None:
    fleet.put(A, ["one", "two"], "k1")
    fleet.put(B, ["three"], "k2")
    steps = Steps(fleet)
    steps.read_all(A, B)
    stop(steps)
    fleet.put(C, ["one", "two"], "k1")
    again = Steps(fleet)
    again.read_all(C)
    assert again.lines() == ["one", "three", "two"]
    assert again.index.next_index(C) == 2
    stop(again)


def test_what_was_left_out_stays_so_after_a_restart_without_another_row(fleet: Fleet) -> None:
    fleet.put(A, ["one", "two"], "k1")
    steps = Steps(fleet)
    steps.read_all(A)
    steps.index.flush()
    fleet.put(B, ["one", "two"], "k1")
    steps.read_all(B)
    assert (steps.index.recent_rows, steps.index.duplicates) == (0, 2)
    stop(steps)
    again = Steps(fleet)
    assert (again.index.next_index(B), again.index.duplicates) == (2, 2)
    assert again.lines() == ["one", "two"]
    stop(again)
    accounted(fleet)


def test_an_index_that_went_back_has_no_originals_that_it_lost(fleet: Fleet) -> None:
    """The rows of A were in memory when the process died; the copy in B comes first then."""
    fleet.put(A, ["one"], "k1")
    fleet.put(B, ["one"], "k1")
    steps = Steps(fleet)
    steps.read_all(A, B)
    # What `reopen` does where a commit came about that was thought to have failed.
    steps.index._in_parts = {A: 7}
    steps.index.reopen()
    assert steps.index.snapshot.cursors == {}
    steps.read_all(B)
    assert steps.rows() == [(B, 0, "one")]
    steps.read_all(A)
    assert steps.rows() == [(B, 0, "one")]
    stop(steps)
    accounted(fleet)


def test_rows_whose_originals_went_meanwhile_are_not_left_out(fleet: Fleet) -> None:
    fleet.put(A, ["one"], "k1")
    fleet.put(B, ["one"], "k1")
    steps = Steps(fleet)
    steps.read_all(A)
    turn = reading_module.take(fleet.shards[B].reader, 0)
    sifted = steps.copies.sift(B, turn, steps.readers | {B: fleet.shards[B].reader}, {A: 1})
    assert sifted.relies == {A: 0}
    steps.index._in_parts = {A: 7}
    steps.index.reopen()
    table = sifted.rows(LOG, B)
    assert table.num_rows == 0
    assert not steps.index.append(B, table, 1, copies=1, relies=sifted.relies)
    steps.read_all()
    assert steps.lines() == ["one"]
    stop(steps)


def test_an_id_that_came_with_other_entries_is_a_conflict(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.put(A, ["one", "two"], "k1")
    fleet.put(B, ["one", "other"], "k1")
    fleet.put(C, ["one", "two", "three"], "k1")
    steps = Steps(fleet)
    steps.read_all()
    assert steps.lines() == sorted(["one", "two", "one", "other", "one", "two", "three"])
    assert (steps.copies.conflicts, steps.index.duplicates) == (2, 0)
    assert "entry 0 begins a batch whose id stands before other entries" in caplog.text
    stop(steps)
    with Fleet(fleet.data, ["dddd"]) as more:
        fleet.shards["dddd"] = more.shards["dddd"]
        more.put("dddd", ["one", "other"], "k1")  # is a copy of the second one
        again = Steps(fleet)
        again.read_all("dddd")
        assert (again.index.duplicates, again.copies.conflicts) == (2, 0)
        stop(again)
        del fleet.shards["dddd"]


def test_an_id_counts_for_its_sender_only(fleet: Fleet) -> None:
    fleet.put(A, ["same"], "k1", sender="x")
    fleet.put(B, ["same"], "k1", sender="y")
    fleet.put(C, ["same"], "x k1")  # looks like the first one in the table of the frame
    steps = Steps(fleet)
    steps.read_all()
    assert steps.lines() == ["same"] * 3
    assert (steps.index.duplicates, steps.copies.conflicts) == (0, 1)
    stop(steps)


def test_equal_entries_without_an_id_are_all_there(fleet: Fleet) -> None:
    for shard in (A, B, C, A, B):
        fleet.put(shard, ["same", "same"])
    fleet.put(A, ["same"], "k1")
    fleet.put(B, ["same"], "k2")
    steps = Steps(fleet)
    steps.read_all()
    assert steps.lines() == ["same"] * 12
    assert steps.index.duplicates == 0
    stop(steps)


def test_ten_thousand_ids(fleet: Fleet) -> None:
    batches = [([f"line {number}"], f"id {number}") for number in range(10_000)]
    fleet.put_all(A, batches)
    fleet.put_all(B, batches[::-1])
    steps = Steps(fleet)
    while steps.read(A) | steps.read(B):
        pass
    assert steps.lines() == sorted(f"line {number}" for number in range(10_000))
    assert steps.index.duplicates == 10_000
    stop(steps)
    accounted(fleet)


def test_a_batch_over_many_frames_and_turns(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "MAX_BYTES", 1)  # a turn is a frame
    long = [f"{number} " + "x" * 9_000 for number in range(700)]
    for shard in (A, B):
        fleet.put(shard, [f"before {shard}"])
        fleet.put(shard, long, "big")
        fleet.put(shard, [f"behind {shard}"])
    steps = Steps(fleet)
    for _ in range(3):
        steps.read(A)
    assert 0 < steps.index.next_index(A) < 701
    steps.read_all(B)  # while the first one is not in the index as a whole
    assert len([1 for shard, _, _ in steps.rows() if shard == B]) == 2
    stop(steps)  # in the middle of the batch
    again = Steps(fleet)
    again.read_all(A)
    expected = [*long, *(f"{where} {shard}" for where in ("before", "behind") for shard in (A, B))]
    assert again.lines() == sorted(expected)
    stop(again)
    accounted(fleet)


def test_a_copy_that_is_not_all_there_waits(fleet: Fleet) -> None:
    fleet.put(A, ["one", "two"], "k1")
    fleet.put(B, ["first"])
    fleet.put(B, ["one", "two"], "k1")
    steps = Steps(fleet)
    steps.read_all(A)
    reader = steps.readers.setdefault(B, reading_of(fleet, B, 2))
    turn = reading_module.take(reader, 0)
    sifted = steps.copies.sift(B, turn, steps.readers, steps.index.snapshot.cursors)
    assert (sifted.after, sifted.copies, sifted.turn.count) == (1, (), 1)
    steps.read_all(B)
    assert steps.lines() == ["first", "one", "two"]
    stop(steps)


def reading_of(fleet: Fleet, shard: str, size: int) -> reading_module.Reader:
    reader = ShardReader(fleet.evidence / shard)
    reader.advance(size)
    return reader


def test_an_original_that_cannot_be_read(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.put(A, ["one"], "k1")
    fleet.put(B, ["one"], "k1")
    steps = Steps(fleet)
    steps.read_all(A)
    reader = steps.readers[A]

    def failing(error: Exception) -> None:
        def read(start: int, most: int) -> object:
            raise error

        monkeypatch.setattr(reader, "read", read)

    failing(Overloaded("the store has no time"))
    with pytest.raises(Overloaded):
        steps.read(B)
    assert steps.index.next_index(B) == 0
    failing(Corrupt("x.seg", 0, "a frame", "nothing"))
    steps.read(B)
    assert steps.lines() == ["one", "one"]
    assert steps.copies.conflicts == 1
    stop(steps)


def test_a_rebuilt_index_leaves_out_the_same(fleet: Fleet) -> None:
    for number in range(30):
        fleet.put(A, [f"{number}"], f"id{number}")
        if number % 2:
            fleet.put(B, [f"{number}"], f"id{number}")
        if number % 3:
            fleet.put(C, [f"{number}"], f"id{number}")
    for shard in fleet.shards.values():
        shard.close()
    assert rebuild(fleet.data, LOG) == 30
    steps = Steps(fleet)
    assert steps.lines() == sorted(map(str, range(30)))
    assert steps.index.snapshot.cursors == {A: 30, B: 15, C: 20}
    assert steps.index.duplicates == 35
    stop(steps)
    accounted(fleet)
    fleet.shards.clear()


def test_copies_that_expire_are_accounted_for(fleet: Fleet) -> None:
    for number in range(10):
        fleet.put(A, [f"{number}"], f"id{number}")
        fleet.put(B, [f"{number}"], f"id{number}")
    steps = Steps(fleet)
    steps.read_all(A)
    steps.index.flush()
    steps.read_all(B)
    assert steps.index.forget(A, 4)
    assert not steps.index.forget(B, 4)
    assert len(steps.lines()) == 6
    stop(steps)
    accounted(fleet)


def test_a_row_that_is_lost_is_found(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.put(A, ["one", "two"], "k1")
    fleet.put(B, ["one", "two"], "k1")
    steps = Steps(fleet)
    steps.read_all()
    real = Marks.moved

    def forgetful(marks: Marks, *moved: Mapping[str, int]) -> dict[str, int]:
        return real(marks, *moved) | {B + ABSENT: 1}

    monkeypatch.setattr(Marks, "moved", forgetful)
    stop(steps)
    (finding,) = check_index(fleet.data / "index" / LOG)
    assert "holds 0 rows of shard bbbb and notes 1 entries without one" in finding.detail


def test_the_memory_of_places_is_bounded() -> None:
    places = Places()
    for number in range(5_000):
        places.add(key_of(f"id{number}"), Place(number, 1), 1_000)
        if number % 100 == 0:
            places.add(key_of("often"), Place(number, 2), 1_000)
    assert all(places.find(key_of(f"id{n}")) == [Place(n, 1)] for n in range(4_100, 5_000))
    assert places.find(key_of("id10")) == []
    assert places.find(key_of("other")) == []
    assert len(places.find(key_of("often"))) >= 10
    assert places._young._mask < 4_096


BATCHES = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([(A,), (A, B), (B, A), (B, C, A), (C, B, A, A)])),
    max_size=12,
)
MOVES = st.lists(st.sampled_from(["flush", "merge", "end", "kill", A, B, C]), max_size=20)


@settings(max_examples=25, deadline=None)
@given(batches=BATCHES, moves=MOVES)
def test_every_batch_is_there_exactly_once(
    batches: list[tuple[int, tuple[str, ...]]], moves: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder), [A, B, C]) as fleet:
        expected = []
        for number, (id_, shards) in enumerate(batches):
            lines = [f"{number}/{place}" for place in range(id_ % 3 + 1)]
            expected += lines
            for shard in dict.fromkeys(shards):
                fleet.put(shard, lines, f"id{number}")
        steps = Steps(fleet)
        for move in moves:
            if move in fleet.shards:
                steps.read(move)
            elif move in ("flush", "merge"):
                getattr(steps.index, move)()
            else:
                stop(steps, flushed=move == "end")
                steps = Steps(fleet)
        steps.read_all(C, A, B)
        assert steps.lines() == sorted(expected)
        stop(steps)
        accounted(fleet)


def test_a_copy_is_not_taken_for_a_new_batch_while_the_process_ends(fleet: Fleet) -> None:
    """What it knows of ids may not be all then."""
    fleet.put(A, ["one"], "k1")
    steps = Steps(fleet)
    steps.read_all(A)
    stop(steps)
    fleet.put(B, ["one"], "k1")
    again = Steps(fleet)
    again.copies = Copies(fleet.evidence, ShardReader, stopping=lambda: True)
    with pytest.raises(Unavailable):
        again.read(B)
    assert again.lines() == ["one"]
    stop(again)


TABLES = st.lists(
    st.builds(
        BatchId,
        st.sampled_from(["a", "b"]),
        st.integers(0, 14),
        st.one_of(st.integers(0, 12), st.just(1 << 31)),
    ),
    max_size=5,
)


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None)
@given(mine=TABLES, theirs=TABLES)
def test_a_table_may_say_anything(mine: list[BatchId], theirs: list[BatchId]) -> None:
    """The table of a frame is not under the tree. No entry that is not double is lost by it."""
    with tempfile.TemporaryDirectory() as folder:
        index = open_index(Path(folder) / "index")
        found = [header("n") + b"%d" % (number % 3) for number in range(10)]
        readers = {shard: ListReader(found, size=10) for shard in (A, B)}
        copies = Copies(Path(folder), lambda path: ListReader(), remembered=100)
        for shard, table in ((A, mine), (B, theirs)):
            turn = reading_module.Turn(0, 10, packed(found), table)
            sifted = copies.sift(shard, turn, readers, index.snapshot.cursors)
            rows = sifted.rows(LOG, shard)
            places = rows["index"].to_pylist()
            assert places == sorted(set(places))
            left = set(range(10)) - set(places)
            assert left == {n for first, end in sifted.copies for n in range(first, end)} | set(
                range(sifted.turn.count, 10)
            )
            assert sifted.after == max(sifted.turn.count, *(end for _, end in sifted.copies), 0)
            if sifted.after:
                count = sifted.after - len(places)
                assert index.append(shard, rows, sifted.after, copies=count)
        index.close()
        assert check_index(Path(folder) / "index") == []
