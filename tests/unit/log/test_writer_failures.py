"""The writer on a failing disk: it refuses, says why and since when, and goes on when it can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_clock import FakeClock
from live_shard import DIRECTORY, entry, eventually, lines, new_shard, open_shard, take
from simulated_disk import Fault, Step, always

from muniment.errors import StorageFailing
from muniment.log import Health, Shard, writer
from muniment.log.verify import verify_shard

SEGMENT = DIRECTORY / "00000000000000000000.seg"
CHECKPOINTS = DIRECTORY / "checkpoints"
TILE = DIRECTORY / "tiles" / "1"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing writer tries again soon; by the fake clock no second passes."""
    monkeypatch.setattr(writer, "PUBLISH_EVERY", 0.005)


def recovered(shard: Shard) -> None:
    """Waits until the shard acknowledges again."""
    eventually(lambda: shard.health.ok and shard.published_size == shard.size)


def refused(shard: Shard, text: str) -> str:
    """Submits a batch that is refused now or at the commit; returns the reason."""
    with pytest.raises(StorageFailing) as error:
        take(shard, lines(text))
    assert error.value.retry_after >= 1
    return error.value.detail


TABLE = [
    pytest.param("write", SEGMENT, Fault.FAILED, id="segment-write"),
    pytest.param("write", SEGMENT, Fault.TORN, id="segment-torn"),
    pytest.param("sync", SEGMENT, Fault.FAILED, id="segment-sync"),
    pytest.param("sync", SEGMENT, Fault.PERSISTED, id="segment-sync-persisted"),
    pytest.param("sync", SEGMENT, Fault.DROPPED, id="segment-sync-dropped"),
]


@pytest.mark.parametrize(("operation", "path", "fault"), TABLE)
def test_a_commit_that_fails_is_refused_until_the_disk_is_well(
    operation: str, path: Path, fault: Fault
) -> None:
    clock = FakeClock()
    shard, disk = new_shard(clock=clock)
    take(shard, lines("a"))
    assert shard.health == Health()
    clock.seconds += 60
    disk.plan = failing(DIRECTORY, always(operation, path, fault))
    reason = refused(shard, "b")
    assert reason.startswith("11111111: ") and reason.endswith(("error", "on device"))
    health = shard.health
    assert not health.ok and health.reason.startswith("11111111: ")
    assert health.since == "2026-01-02T03:05:05.678901Z"
    clock.seconds += 60
    refused(shard, "c")
    assert shard.health.since == health.since
    assert shard.size == 1
    disk.plan = lambda step: None
    recovered(shard)
    assert take(shard, lines("d")).first == 1
    shard.close()
    assert shard.reader.read(0).entries == [entry("a"), entry("d")]
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def failing(
    directory: Path, first: Callable[[Step], Fault | None]
) -> Callable[[Step], Fault | None]:
    """From the first failure on, every write to the directory fails too."""
    failed: list[Fault] = []

    def plan(step: Step) -> Fault | None:
        fault = first(step)
        if fault is not None:
            failed.append(fault)
            return fault
        below = step.operation in ("write", "sync") and step.path.is_relative_to(directory)
        return Fault.FAILED if failed and below else None

    return plan


def test_checkpoints_that_cannot_be_written_stop_the_shard_too() -> None:
    """What is not published cannot be witnessed: such a shard is not well."""
    clock = FakeClock()
    shard, disk = new_shard(clock=clock)
    take(shard, lines("a"))
    recovered(shard)
    disk.plan = lambda step: Fault.FAILED if "checkpoints" in step.path.name else None
    clock.seconds += 2
    assert take(shard, lines("b")).first == 1
    eventually(lambda: not shard.health.ok)
    assert "checkpoints" in shard.health.reason
    disk.plan = lambda step: None
    recovered(shard)
    assert take(shard, lines("c")).first == 2
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


@pytest.mark.parametrize("operation", ["create", "write"])
def test_tiles_that_cannot_be_written_stop_no_acknowledgement(operation: str) -> None:
    shard, disk = new_shard()
    take(shard, lines("x"))
    recovered(shard)
    disk.plan = always(operation, TILE, Fault.FAILED)
    answer = take(shard, lines(*(str(number) for number in range(300))))
    assert answer.count == 300
    disk.plan = lambda step: None
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_a_full_disk_is_well_again_only_with_room_for_what_it_refused() -> None:
    """Room for a segment's header alone would make a writer that fails and mends for ever."""
    shard, disk = new_shard(limits=None)
    take(shard, lines("a"))
    recovered(shard)
    disk.room = 600
    for _ in range(5):
        refused(shard, "x" * 1000 + "".join(chr(0x100 + n * 7) for n in range(500)))
        assert not shard.health.ok
    disk.room = None
    recovered(shard)
    assert take(shard, lines("b")).first == 1
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_closing_on_a_failing_disk_ends_and_loses_nothing() -> None:
    shard, disk = new_shard()
    take(shard, lines("a"))
    disk.plan = lambda step: Fault.FAILED
    refused(shard, "b")
    shard.close()
    with pytest.raises(Exception, match="closing"):
        shard.submit(lines("c"))
    disk.plan = lambda step: None
    shard = open_shard(disk)
    entries = shard.reader.read(0).entries
    assert entries[0] == entry("a") and set(entries[1:]) <= {entry("b")}
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


@pytest.mark.parametrize("where", ["commit", "callback"])
def test_an_error_that_nobody_foresaw_leaves_nobody_waiting(where: str) -> None:
    shard, disk = new_shard()
    take(shard, lines("a"))
    recovered(shard)
    if where == "commit":
        disk.plan = unforeseen
    else:
        shard.on_commit.append(lambda size: unforeseen(size))
    try:
        take(shard, lines("b"))
    except StorageFailing as error:
        assert "unforeseen" in error.detail
        assert where == "commit"
    shard._writer._thread.join(60)
    assert not shard.health.ok and "unforeseen" in shard.health.reason
    refused(shard, "c")
    shard.close()
    disk.plan = lambda step: None
    shard = open_shard(disk)
    assert shard.reader.entry(0) == entry("a")
    shard.close()


def unforeseen(_: object) -> None:
    raise RuntimeError("unforeseen")
