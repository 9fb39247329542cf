"""The writer with a replica: stored there, durable here, then acknowledged; in order, bounded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from fake_clock import FakeClock
from live_shard import DIRECTORY, SIGNER, TINY, entry, eventually, lines, new_shard, take
from replicated_shard import new_replicated, reopened, replayed
from simulated_disk import Fault, SimulatedDisk, always
from simulated_replica import SimulatedReplica

from muniment.errors import Conflict, Fenced, StorageFailing, StoreFailing, Unavailable
from muniment.log import Health, pipeline, replicated, writer
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Note
from muniment.log.replica import Act
from muniment.log.tail import SegmentLimits
from muniment.log.verify import verify_shard

SEGMENT = DIRECTORY / "00000000000000000000.seg"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer in trouble looks again soon; by the fake clock no second passes."""
    monkeypatch.setattr(writer, "PUBLISH_EVERY", 0.005)


def assert_same_everywhere(disk: SimulatedDisk, replica: SimulatedReplica) -> None:
    """The files verify, and the replica's content makes just these files again."""
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    assert replayed(replica.content()).files() == disk.files()


def test_an_answer_comes_after_the_replica_and_the_disk() -> None:
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = shard.submit(lines("a", "b"))
    replica.wait_puts(1)
    assert not waiting.done() and shard.size == 0
    assert not disk.exists(SEGMENT)
    replica.release()
    answer = waiting.result(60)
    assert (answer.first, answer.count, answer.durability) == (0, 2, "replicated")
    note = Note.parse(answer.receipt)
    note.check([SIGNER.verifier])
    append = replica.content()[0]
    assert Checkpoint.parse(note.text).root == append.root
    assert shard.reader.read(0).entries == [entry("a"), entry("b")]
    shard.close()
    assert replica.closed
    assert_same_everywhere(disk, replica)


def test_groups_are_planned_while_others_are_under_way() -> None:
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = []
    for number in range(5):
        waiting.append(shard.submit(lines(str(number))))
        replica.wait_puts(number + 1)
    assert not any(future.done() for future in waiting)
    replica.release()
    assert [future.result(60).first for future in waiting] == [0, 1, 2, 3, 4]
    shard.close()
    assert_same_everywhere(disk, replica)


@pytest.mark.parametrize("seed", range(4))
def test_many_senders_lose_nothing_and_every_segment_can_be_made_again(seed: int) -> None:
    replica = SimulatedReplica(seed=seed, width=8)
    shard, disk, replica = new_replicated(replica, limits=SegmentLimits(frames=1))

    def send(sender: int) -> list[int]:
        waiting = [
            shard.submit(lines(f"{sender} {number}", id_=f"{sender}-{number}"))
            for number in range(40)
        ]
        return [future.result(60).first for future in waiting]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    shard.close()
    entries = shard.reader.read(0).entries
    assert len(entries) == 240
    for sender, firsts in enumerate(answers):
        assert firsts == sorted(firsts)
        assert [entries[f] for f in firsts] == [entry(f"{sender} {n}") for n in range(40)]
    assert_same_everywhere(disk, replica)


def test_what_is_under_way_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "IN_FLIGHT_APPENDS", 3)
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = []
    for number in range(3):
        waiting.append(shard.submit(lines(str(number))))
        replica.wait_puts(number + 1)
    waiting += [shard.submit(lines(f"late {number}")) for number in range(4)]
    replica.release(1)
    assert waiting[0].result(60).first == 0
    replica.wait_puts(4)
    assert replica.puts == 4
    replica.release()
    assert [future.result(60).first for future in waiting] == list(range(7))
    assert len({future.result(0).receipt for future in waiting[3:]}) == 1
    shard.close()
    assert_same_everywhere(disk, replica)


def test_an_id_that_is_under_way_is_known() -> None:
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    first = shard.submit(lines("a", id_="one"))
    replica.wait_puts(1)
    again = [shard.submit(lines("a", id_="one")) for _ in range(3)]
    other = shard.submit(lines("other", id_="one"))
    next_ = shard.submit(lines("b"))
    replica.wait_puts(2)
    replica.release()
    assert first.result(60).first == 0 and next_.result(60).first == 1
    assert {(a.result(60).first, a.result(60).replayed) for a in again} == {(0, True)}
    assert {a.result(60).receipt for a in again} == {first.result(0).receipt}
    with pytest.raises(Conflict):
        other.result(60)
    assert take(shard, lines("a", id_="one")).replayed
    shard.close()
    assert shard.reader.read(0).entries == [entry("a"), entry("b")]
    assert_same_everywhere(disk, replica)


def test_checkpoints_come_through_the_replica() -> None:
    clock = FakeClock()
    shard, disk, replica = new_replicated(clock=clock)
    take(shard, lines("a"))
    assert shard.wait_published(1, 60)
    take(shard, lines("b"))
    assert shard.published_size == 1
    clock.seconds += 2
    take(shard, lines("c"))
    assert shard.wait_published(3, 60)
    take(shard, lines("d"))
    shard.close()
    acts = [(append.act, append.size) for append in replica.content()]
    assert [size for act, size in acts if act is Act.CHECKPOINT] == [1, 3, 4]
    assert shard.published_size == 4
    assert_same_everywhere(disk, replica)


def test_nothing_is_published_that_the_replica_does_not_have() -> None:
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = shard.submit(lines("a"))
    replica.wait_puts(2)
    replica.release(1)
    waiting.result(60)
    assert shard.checkpoint() is None and not disk.exists(DIRECTORY / "checkpoints")
    replica.release()
    assert shard.wait_published(1, 60)
    shard.close()


def test_trouble_refuses_what_is_new_and_goes_by_itself() -> None:
    clock = FakeClock()
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True), clock=clock)
    under_way = shard.submit(lines("a"))
    replica.wait_puts(1)
    replica.trouble = "no answer for 6 s"
    eventually(lambda: not shard.health.ok)
    assert shard.health.reason == "the write-ahead store: no answer for 6 s"
    assert shard.health.since == "2026-01-02T03:04:05.678901Z"
    with pytest.raises(StoreFailing, match="no answer") as error:
        shard.submit(lines("b"))
    assert error.value.retry_after >= 1 and shard.metrics.refused == 1
    assert not under_way.done() and not shard.fenced
    replica.trouble = ""
    eventually(lambda: shard.health == Health())
    replica.release()
    assert under_way.result(60).first == 0
    assert take(shard, lines("c")).first == 1
    shard.close()
    assert_same_everywhere(disk, replica)


def test_fenced_in_the_middle() -> None:
    """What was stored before the fence is in the log; everything behind it is refused for good."""
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = []
    for number in range(4):
        waiting.append(shard.submit(lines(str(number), id_=str(number))))
        replica.wait_puts(number + 1)
    again = shard.submit(lines("3", id_="3"))
    replica.release(1)
    assert waiting[0].result(60).first == 0
    before = disk.files()
    replica.fence()
    for future in [*waiting[1:], again]:
        with pytest.raises(Fenced, match="took this shard over"):
            future.result(60)
    eventually(lambda: shard.fenced)
    assert shard.health.reason == "fenced: node b took this shard over"
    with pytest.raises(Fenced):
        shard.submit(lines("x"))
    shard.seal()
    shard.close()
    assert disk.files() == before and shard.size == 1
    assert shard.reader.entry(0) == entry("0")
    taken_over = replayed(replica.content())
    assert taken_over.files() == before


@pytest.mark.parametrize("fence_at", range(9))
@pytest.mark.parametrize("seed", range(2))
def test_a_fence_at_any_append(fence_at: int, seed: int) -> None:
    replica = SimulatedReplica(seed=seed, fence_at=fence_at)
    shard, _, replica = new_replicated(replica)
    kept = []
    for number in range(12):
        try:
            kept.append((take(shard, lines(str(number))).first, entry(str(number))))
        except Fenced:
            break
    else:
        pytest.fail("it was never fenced")
    shard.close()
    assert shard.fenced
    content = replica.content()
    assert len(content) == fence_at
    other, _ = reopened(replayed(content), content)
    assert [(first, other.reader.entry(first)) for first, _ in kept] == kept
    assert take(other, lines("more")).first == len(kept)
    other.close()
    assert shard.reader.read(0).entries == other.reader.read(0).entries[:-1]


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.PERSISTED, Fault.DROPPED])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failing_disk_loses_nothing_that_is_stored(operation: str, fault: Fault) -> None:
    """Segments are the same as elsewhere, for all that they were written anew."""
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    replica.release(1)
    take(shard, lines("a"))
    disk.plan = always(operation, SEGMENT, fault)
    waiting = shard.submit(lines("b"))
    replica.release()
    eventually(lambda: not shard.health.ok)
    with pytest.raises(StorageFailing):
        shard.submit(lines("c"))
    assert not waiting.done()
    disk.plan = lambda step: None
    assert waiting.result(60).first == 1
    eventually(lambda: shard.health.ok)
    assert [take(shard, lines(str(number))).first for number in range(9)] == list(range(2, 11))
    shard.close()
    assert_same_everywhere(disk, replica)


def test_a_full_disk_goes_on_when_there_is_room() -> None:
    shard, disk, replica = new_replicated(limits=None)
    take(shard, lines("a" * 500))
    disk.room = 300
    waiting = shard.submit(lines("".join(chr(0x100 + n * 7) for n in range(500))))
    eventually(lambda: not shard.health.ok)
    disk.room = None
    assert waiting.result(60).first == 1
    shard.close()
    assert_same_everywhere(disk, replica)


def test_a_full_disk_needs_no_room_for_another_copy_of_the_segment() -> None:
    noise = Random(1).randbytes(12_000).hex()
    shard, disk, replica = new_replicated(limits=None)
    take(shard, lines(noise))
    before = disk.files()[SEGMENT]
    assert len(before) > 10_000 and shard.wait_published(1, 60)
    disk.room = 100
    waiting = shard.submit(lines(noise[:1000]))
    eventually(lambda: not shard.health.ok)
    disk.room = 4_000
    assert waiting.result(60).first == 1
    disk.room = None
    shard.close()
    assert_same_everywhere(disk, replica)


def test_fenced_while_the_disk_fails() -> None:
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    disk.plan = lambda step: Fault.FAILED
    waiting = [shard.submit(lines("a"))]
    replica.wait_puts(1)
    waiting.append(shard.submit(lines("b")))
    replica.wait_puts(2)
    replica.release(1)
    eventually(lambda: not shard.health.ok)
    replica.fence()
    for future in waiting:
        with pytest.raises(Fenced):
            future.result(60)
    eventually(lambda: shard.fenced)
    disk.plan = lambda step: None
    assert not shard.writable and shard.health.reason.startswith("fenced: ")
    shard.close()
    assert shard.size == 0


@pytest.mark.parametrize("name", ["checkpoints", "1"])
def test_checkpoints_and_tiles_that_cannot_be_written(name: str) -> None:
    clock = FakeClock()
    shard, disk, replica = new_replicated(clock=clock, limits=SegmentLimits())
    take(shard, lines("a"))
    assert shard.wait_published(1, 60)
    disk.plan = lambda step: Fault.FAILED if name in step.path.name.split(".") else None
    clock.seconds += 2
    assert take(shard, lines(*(str(number) for number in range(300)))).first == 1
    eventually(lambda: not shard.health.ok)
    disk.plan = lambda step: None
    assert shard.wait_published(301, 60)
    eventually(lambda: shard.health.ok)
    shard.close()
    assert_same_everywhere(disk, replica)


def test_closing_waits_for_what_is_under_way() -> None:
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = [shard.submit(lines(str(number))) for number in range(5)]
    replica.wait_puts(1)
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(shard.close)
        replica.release()
        closing.result(60)
    assert [future.result(0).first for future in waiting] == [0, 1, 2, 3, 4]
    assert shard.published_size == 5 and replica.closed
    assert_same_everywhere(disk, replica)


def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicated, "CLOSE_SECONDS", 0.01)
    shard, disk, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = shard.submit(lines("a"))
    replica.wait_puts(1)
    shard.close()
    with pytest.raises(Unavailable):
        waiting.result(60)
    with pytest.raises(Unavailable):
        shard.submit(lines("b"))
    assert replica.closed and not disk.exists(SEGMENT)


def test_closing_on_a_failing_disk_leaves_it_to_the_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replicated, "CLOSE_SECONDS", 0.05)
    shard, disk, replica = new_replicated()
    take(shard, lines("a"))
    disk.plan = lambda step: Fault.FAILED
    waiting = shard.submit(lines("b", id_="b"))
    eventually(lambda: not shard.health.ok)
    shard.close()
    with pytest.raises(Unavailable):
        waiting.result(60)
    disk.plan = lambda step: None
    shard, replica = reopened(disk, replica.content())
    again = take(shard, lines("b", id_="b"))
    assert (again.first, again.replayed) == (1, True)
    shard.close()
    assert_same_everywhere(disk, replica)


def test_an_error_that_nobody_foresaw_leaves_nobody_waiting() -> None:
    shard, disk, _ = new_replicated(SimulatedReplica())
    take(shard, lines("a"))

    def unforeseen(_: object) -> None:
        raise RuntimeError("unforeseen")

    disk.plan = unforeseen
    with pytest.raises((Unavailable, StorageFailing)):
        take(shard, lines("b"))
    eventually(lambda: not shard.health.ok)
    assert "unforeseen" in shard.health.reason
    shard.close()


def test_a_replica_that_ends_is_said() -> None:
    shard, _, replica = new_replicated(SimulatedReplica(hold=True))
    waiting = shard.submit(lines("a"))
    replica.wait_puts(1)
    replica.close(0.0)
    with pytest.raises(Unavailable, match="closed before"):
        waiting.result(60)
    eventually(lambda: not shard.health.ok)
    assert "ended" in shard.health.reason and not shard.fenced
    with pytest.raises(Unavailable):
        shard.submit(lines("b"))
    shard.close()


def test_the_same_node_goes_on_after_a_clean_end() -> None:
    limits = SegmentLimits(frames=5)
    shard, disk, replica = new_replicated(limits=limits)
    for number in range(6):
        take(shard, lines(str(number), id_=str(number)))
    shard.close()
    for start in range(3):
        before = disk.files()
        replayed(replica.content(), disk)
        assert disk.files() == before
        shard, replica = reopened(disk, replica.content(), limits=limits)
        assert take(shard, lines("3", id_="3")).replayed
        assert take(shard, lines(f"more {start}")).first == 6 + start
        shard.close()
    assert_same_everywhere(disk, replica)


def test_a_local_shard_goes_on_with_a_replica() -> None:
    """The replica has what comes now; the base before it is for the archive to give."""
    shard, disk = new_shard()
    for number in range(TINY.frames + 2):
        take(shard, lines(str(number)))
    shard.close()
    base = disk.copy()
    shard, replica = reopened(disk, [])
    for number in range(6):
        take(shard, lines(f"replicated {number}"))
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    assert replayed(replica.content(), base).files() == disk.files()
