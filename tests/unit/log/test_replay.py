"""Idempotency: a repeated batch gets the first answer, other bytes under its id get a refusal."""

from __future__ import annotations

from threading import Event

import pytest
from fake_clock import FakeClock
from live_shard import (
    DIRECTORY,
    HEADER,
    SIGNER,
    TINY,
    entry,
    eventually,
    lines,
    new_shard,
    open_shard,
    take,
)
from simulated_disk import Fault, SimulatedDisk, Step, at_first

from muniment import kernel
from muniment.errors import Conflict, StorageFailing
from muniment.log import Batch, ShardReader
from muniment.log.batch import BatchIds
from muniment.log.committer import Committer
from muniment.log.frame import BatchId
from muniment.log.recovery import open_tail
from muniment.log.verify import verify_shard
from muniment.log.writer import Writer


def test_the_first_answer_comes_again() -> None:
    shard, disk = new_shard()
    first = take(shard, lines("a", "b", id_="one"))
    take(shard, lines("c"))
    again = take(shard, lines("a", "b", id_="one"))
    assert not first.replayed and again.replayed
    assert (again.first, again.count, again.receipt) == (first.first, first.count, first.receipt)
    assert shard.size == 3
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_a_repetition_has_another_receipt_header() -> None:
    """The header says when it arrived; the sender's bytes are what must be the same."""
    shard, _ = new_shard()
    first = take(shard, lines("a", "b", id_="one"))
    later = HEADER.replace(b"2026", b"2027")
    again = take(shard, Batch(kernel.pack_records([b"a", b"b"], later), "one"))
    assert again.receipt == first.receipt and again.replayed
    assert shard.reader.entry(0) == entry("a")
    shard.close()


@pytest.mark.parametrize(
    "texts", [["a"], ["a", "b", "c"], ["a", "B"], ["b", "a"], ["a", ""], ["a", "b "]]
)
def test_other_bytes_under_the_same_id_are_a_conflict(texts: list[str]) -> None:
    shard, _ = new_shard()
    take(shard, lines("a", "b", id_="one"))
    with pytest.raises(Conflict):
        take(shard, lines(*texts, id_="one"))
    assert shard.size == 2
    assert take(shard, lines("z")).first == 2
    shard.close()


def test_the_answer_is_the_same_after_a_start_and_in_another_segment() -> None:
    shard, disk = new_shard()
    first = take(shard, lines("a", "b", id_="one"))
    for number in range(TINY.frames):
        take(shard, lines(f"x{number}"))
    shard.close()
    for _ in range(3):
        shard = open_shard(disk)
        again = take(shard, lines("a", "b", id_="one"))
        assert (again.first, again.receipt, again.replayed) == (0, first.receipt, True)
        with pytest.raises(Conflict):
            take(shard, lines("a", "c", id_="one"))
        shard.close()
    assert len([name for name in disk.names(DIRECTORY) if name.endswith(".seg")]) == 2
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_a_batch_of_several_frames_is_compared_as_a_whole() -> None:
    shard, _ = new_shard(limits=None)
    records = [bytes([number]) * 60_000 for number in range(40)]

    def large(*changed: int) -> Batch:
        offered = [b"other" if n in changed else record for n, record in enumerate(records)]
        return Batch(kernel.pack_records(offered, HEADER), "large")

    first = take(shard, large())
    assert first.count == 40
    assert take(shard, large()).receipt == first.receipt
    for number in (0, 17, 18, 39):
        with pytest.raises(Conflict):
            take(shard, large(number))
    shard.close()


def together(disk: SimulatedDisk) -> tuple[Event, Event]:
    """Holds the writer in its next sync, so that what comes meanwhile is one group."""
    reached, opened = Event(), Event()

    def plan(step: Step) -> None:
        if step.operation == "sync":
            reached.set()
            assert opened.wait(60)

    disk.plan = plan
    return reached, opened


def test_a_repetition_in_the_same_commit() -> None:
    shard, disk = new_shard()
    reached, opened = together(disk)
    take_first = shard.submit(lines("first"))
    assert reached.wait(60)
    texts = [("a", "one"), ("a", "one"), ("b", "two"), ("other", "one"), ("a", "one")]
    waiting = [shard.submit(lines(text, id_=id_)) for text, id_ in texts]
    opened.set()
    assert take_first.result(60).first == 0
    answers = [waiting[i].result(60) for i in (0, 1, 2, 4)]
    assert [answer.first for answer in answers] == [1, 1, 2, 1]
    assert [answer.replayed for answer in answers] == [False, True, False, True]
    assert len({answer.receipt for answer in answers}) == 1
    with pytest.raises(Conflict):
        waiting[3].result(60)
    assert shard.reader.read(0).entries == [entry(t) for t in ("first", "a", "b")]
    shard.close()


def test_an_id_whose_commit_failed_was_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muniment.log.writer.PUBLISH_EVERY", 0.005)
    shard, disk = new_shard()
    take(shard, lines("first"))
    disk.plan = at_first("write", DIRECTORY / "00000000000000000000.seg", Fault.FAILED)
    with pytest.raises(StorageFailing):
        take(shard, lines("a", id_="one"))
    eventually(lambda: shard.health.ok)
    answer = take(shard, lines("b", id_="one"))
    assert (answer.first, answer.replayed) == (1, False)
    shard.close()


def test_a_first_answer_that_cannot_be_read_stops_nobody_else() -> None:
    shard, disk = new_shard()
    take(shard, lines("a", id_="one"))
    for number in range(2 * TINY.frames):
        take(shard, lines(f"x{number}"))
    shard.close()
    shard = open_shard(disk)
    shard._writer._ids.add(BatchId("one", 0, 1))
    assert shard.reader.entry(0) == entry("a")
    path = DIRECTORY / "00000000000000000000.seg"
    data = disk.files()[path]
    disk.poke(path, None)
    with pytest.raises(StorageFailing, match="cannot be read"):
        take(shard, lines("a", id_="one"))
    assert shard.health.ok
    assert take(shard, lines("b")).first == 1 + 2 * TINY.frames
    disk.poke(path, data)
    assert take(shard, lines("a", id_="one")).first == 0
    shard.close()


def test_an_id_that_is_pushed_out_by_its_own_group_is_still_answered() -> None:
    """The oldest id of a full window, repeated in one group with a new one."""
    shard, disk = new_shard()
    shard.close()
    tail = open_tail(disk, DIRECTORY, SIGNER.verifier)
    committer = Committer(disk, DIRECTORY, SIGNER, tail, TINY)
    reader = ShardReader(DIRECTORY, disk)
    writer = Writer("web", "11111111", committer, BatchIds(1), reader, FakeClock())
    writer.start()
    first = writer.submit(lines("a", id_="one")).result(60)
    reached, opened = together(disk)
    held = writer.submit(lines("x"))
    assert reached.wait(60)
    waiting = [writer.submit(lines("b", id_="two")), writer.submit(lines("a", id_="one"))]
    opened.set()
    assert held.result(60).first == 1
    assert waiting[0].result(60).first == 2
    assert waiting[1].result(60).receipt == first.receipt
    assert writer.health.ok
    writer.close()


def test_the_window_keeps_the_newest_ids() -> None:
    ids = BatchIds(3)
    for number in range(5):
        ids.add(BatchId(str(number), number, 1))
    assert [ids.find(str(number)) is not None for number in range(5)] == [False, False] + 3 * [True]
    assert ids.full and len(ids) == 3


def test_older_ids_come_behind_the_known_ones() -> None:
    ids = BatchIds(4)
    ids.add(BatchId("new", 9, 1))
    ids.add_older([BatchId(name, place, 1) for place, name in enumerate(["a", "b", "new", "c"])])
    assert [ids.find(name) for name in ("a", "b", "c", "new")] == [
        BatchId("a", 0, 1),
        BatchId("b", 1, 1),
        BatchId("c", 3, 1),
        BatchId("new", 9, 1),
    ]
    ids.add(BatchId("newer", 10, 1))
    assert ids.find("a") is None and ids.find("b") is not None
    ids.add_older([BatchId("z", 0, 1)])
    assert ids.find("z") is None
