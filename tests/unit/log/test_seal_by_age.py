"""A segment is sealed when its age has come, although nothing more is written."""

from __future__ import annotations

from pathlib import Path
from threading import current_thread

import pytest
from fake_clock import FakeClock
from live_shard import (
    DIRECTORY,
    Model,
    compare,
    entry,
    eventually,
    lines,
    new_shard,
    open_shard,
    take,
)
from replicated_shard import new_replicated, reopened, replayed
from simulated_disk import Fault, SimulatedDisk, always
from simulated_replica import SimulatedReplica

from muniment import kernel
from muniment.clock import SystemClock
from muniment.errors import StorageFailing
from muniment.log import Batch, Shard, writer
from muniment.log.replica import Act
from muniment.log.segment import seal_place, segment_name
from muniment.log.tail import SegmentLimits
from muniment.log.verify import verify_shard

YOUNG = SegmentLimits(age=0.01)
FIRST = DIRECTORY / segment_name(0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PUBLISH_EVERY", 0.005)


def watched(shard: Shard) -> list[Path]:
    sealed: list[Path] = []
    shard.on_seal.append(sealed.append)
    return sealed


def whole(disk: SimulatedDisk, path: Path) -> bool:
    return seal_place(disk, path) is not None


def test_an_idle_segment_is_sealed_with_its_checkpoint() -> None:
    shard, disk = new_shard(clock=SystemClock(), limits=YOUNG)
    sealed = watched(shard)
    take(shard, lines("a", "b"))
    eventually(lambda: sealed == [FIRST])
    assert whole(disk, FIRST) and shard.wait_published(2, 60)
    assert disk.names(DIRECTORY).count(segment_name(2)) == 0
    report = verify_shard(DIRECTORY, disk=disk)
    assert (report.findings, report.size, report.checkpoints) == ([], 2, 1)
    take(shard, lines("c"))
    eventually(lambda: sealed == [FIRST, DIRECTORY / segment_name(2)])
    model = Model([entry("a"), entry("b"), entry("c")])
    compare(shard.reader, model, [0, 1, 2, 3])
    shard.close()
    report = verify_shard(DIRECTORY, disk=disk)
    assert (report.findings, report.segments, report.checkpoints) == ([], 2, 2)


def test_the_callback_is_on_the_writers_thread_for_every_seal() -> None:
    shard, disk = new_shard()
    names: list[tuple[str, str]] = []
    shard.on_seal.append(lambda path: names.append((path.name, current_thread().name)))
    for number in range(9):
        take(shard, lines(str(number)))
    shard.close()
    assert names == [(segment_name(first), "writer web/11111111") for first in (0, 4)]
    assert all(whole(disk, DIRECTORY / name) for name, _ in names)


def test_a_segment_without_entries_is_not_sealed() -> None:
    shard, disk = new_shard(clock=SystemClock(), limits=SegmentLimits(age=0.0))
    sealed = watched(shard)
    shard.seal()
    shard.close()
    assert sealed == [] and not disk.exists(FIRST)


def test_the_age_counts_from_the_start_where_nothing_is_written() -> None:
    shard, disk = new_shard()
    take(shard, lines("a"))
    shard.close()
    shard = open_shard(disk, clock=SystemClock(), limits=YOUNG)
    eventually(lambda: whole(disk, FIRST))
    shard.close()
    shard = open_shard(disk)
    assert take(shard, lines("b")).first == 1
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


@pytest.mark.parametrize(("seconds", "sealed"), [(0, 0), (3599, 0), (3600, 1), (99_999, 1)])
def test_the_age_is_that_of_the_oldest_entry_after_a_start(seconds: int, sealed: int) -> None:
    """Or a node that starts often would never seal."""
    clock = FakeClock()
    shard, disk = new_shard(clock=clock)
    take(shard, lines("a"))
    shard.close()
    clock.seconds += seconds
    shard = open_shard(disk, clock=clock, limits=SegmentLimits(age=3600.0))
    assert take(shard, lines("b")).first == 1
    shard.close()
    assert whole(disk, FIRST) == bool(sealed)
    assert verify_shard(DIRECTORY, disk=disk).findings == []


@pytest.mark.parametrize(
    "header", [b"\n", b"[]\n", b'{"at":1}\n', b'{"at":"2026"}\n', b"\xff\n", b""]
)
def test_an_entry_that_does_not_say_when_it_came(header: bytes) -> None:
    shard, disk = new_shard()
    take(shard, Batch(kernel.pack_records([b"x"], header)))
    shard.close()
    shard = open_shard(disk, limits=SegmentLimits(age=3600.0))
    assert take(shard, lines("b")).first == 1
    shard.close()
    assert not whole(disk, FIRST)


def test_a_seal_that_is_asked_for() -> None:
    shard, disk = new_shard(limits=None)
    sealed = watched(shard)
    for number in range(3):
        take(shard, lines(str(number)))
        shard.seal()
        eventually(lambda: len(sealed) == number + 1)  # noqa: B023
    assert take(shard, lines("more")).first == 3
    shard.close()
    assert sealed == [DIRECTORY / segment_name(first) for first in range(3)]
    report = verify_shard(DIRECTORY, disk=disk)
    assert (report.findings, report.segments) == ([], 4)


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.PERSISTED, Fault.TORN])
def test_a_seal_that_fails_is_made_good(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    shard, disk = new_shard(limits=None)
    take(shard, lines("a"))
    assert shard.wait_published(1, 60)
    monkeypatch.setattr(writer, "PUBLISH_EVERY", 3600.0)  # it mends when it is woken, not before
    disk.plan = always("write", FIRST, fault)
    shard.seal()
    eventually(lambda: not shard.health.ok)
    with pytest.raises(StorageFailing):
        take(shard, lines("b"))
    disk.plan = lambda step: None

    def is_woken() -> bool:
        shard.seal()
        return shard.health.ok

    eventually(is_woken)
    assert take(shard, lines("c")).first == 1
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_a_read_only_file_that_cannot_be_is_told_of_all_the_same() -> None:
    shard, disk = new_shard(limits=None)
    sealed = watched(shard)
    take(shard, lines("a"))
    disk.plan = always("seal", FIRST, Fault.FAILED)
    shard.seal()
    eventually(lambda: sealed == [FIRST])
    disk.plan = lambda step: None
    eventually(lambda: shard.health.ok)
    take(shard, lines("b"))
    shard.close()
    assert sealed == [FIRST]
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_with_a_replica_no_segment_is_sealed_that_it_was_not_told_of() -> None:
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True), limits=None)
    sealed = watched(shard)
    waiting = shard.submit(lines("a"))
    replica.wait_puts(2)
    replica.release(2)
    waiting.result(60)
    assert shard.wait_published(1, 60)
    shard.seal()
    replica.wait_puts(3)
    assert sealed == [] and not whole(disk, FIRST)
    later = shard.submit(lines("b"))
    replica.release()
    assert later.result(60).first == 1
    assert sealed == [FIRST]
    shard.close()
    content = replica.content()
    assert [append.act for append in content[:4]] == [
        Act.GROUP,
        Act.CHECKPOINT,
        Act.SEAL,
        Act.GROUP,
    ]
    assert [append.segment for append in content[:4]] == [0, 0, 1, 1]
    assert replayed(content).files() == disk.files()


def test_a_takeover_agrees_on_a_seal_by_age() -> None:
    """Whether the sealed segment was laid down from the archive or not."""
    shard, disk, replica = new_replicated(clock=SystemClock(), limits=YOUNG)
    sealed = watched(shard)
    take(shard, lines("a"))
    eventually(lambda: sealed == [FIRST])
    content, archived = replica.content(), disk.copy()
    replica.fence()
    for base in (archived, replayed([])):
        other, successor = reopened(base, content)
        assert take(other, lines("b")).first == 1
        other.close()
        assert base.files()[FIRST] == archived.files()[FIRST]
        assert replayed(successor.content()).files() == base.files()
    shard.close()


def test_a_fence_before_the_seal_leaves_the_segment_open() -> None:
    """The next writer may go on in it: so nobody may have seen it sealed."""
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True), limits=None)
    sealed = watched(shard)
    waiting = shard.submit(lines("a"))
    replica.wait_puts(2)
    replica.release(2)
    waiting.result(60)
    assert shard.wait_published(1, 60)
    shard.seal()
    replica.wait_puts(3)
    replica.fence()
    eventually(lambda: shard.fenced)
    shard.close()
    assert sealed == [] and not whole(disk, FIRST)
    other, _ = reopened(disk, replica.content(), limits=SegmentLimits())
    assert take(other, lines("b")).first == 1
    other.close()
    assert not disk.exists(DIRECTORY / segment_name(1))
