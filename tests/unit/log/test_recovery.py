"""What a crash may leave at the end of a shard, and what the next start makes of it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import enumerate as enumerate_threads

import pytest
from fake_clock import FakeClock
from shard_life import DIRECTORY, LIMITS, SIGNER, Life, batch, entries_of, examine, header
from simulated_disk import Fault, PowerLoss, SimulatedDisk, always, at_first, at_step

from muniment import kernel
from muniment.errors import Corrupt, StorageFailing
from muniment.log import Batch, Shard
from muniment.log.committer import CHECKPOINTS, Committer
from muniment.log.frame import Frame, Kind
from muniment.log.history import all_places
from muniment.log.recovery import open_tail
from muniment.log.segment import Place, segment_name
from muniment.log.tail import SegmentLimits
from muniment.log.verify import verify_shard

FIRST = DIRECTORY / segment_name(0)


def a_life(*script: tuple[Batch, ...], close: bool = False) -> Life:
    life = Life(SimulatedDisk())
    life.run(script, close=close)
    return life


def opened(disk: SimulatedDisk) -> Shard:
    return Shard.open(DIRECTORY, SIGNER, log="edge", disk=disk, clock=FakeClock(), limits=LIMITS)


def places(disk: SimulatedDisk, path: Path = FIRST) -> list[Place]:
    return all_places(disk, path)


def without_the_last(life: Life) -> Life:
    """The same life, but nobody heard of the last commit."""
    return Life(life.disk, life.kept[:-1], life.offered)


def cut_short(life: Life, path: Path, length: int) -> SimulatedDisk:
    disk = life.disk.copy()
    disk.poke(path, disk.files()[path][:length])
    return disk


def test_a_last_group_torn_at_any_byte_is_cut_off_and_recorded() -> None:
    life = a_life((batch(0, 3),), (), (batch(1, 2),), (batch(2, 4, id_="torn"),))
    last = places(life.disk)[-1]
    for length in range(last.offset, last.end):
        disk = cut_short(life, FIRST, length)
        torn = disk.files()[FIRST][last.offset :]
        size = examine(disk, without_the_last(life))
        records = 0 if not torn else 2
        assert size == 5 + records + 3
        if torn:
            assert_recorded(disk, 5, last.offset, torn)


def assert_recorded(disk: SimulatedDisk, index: int, offset: int, torn: bytes) -> None:
    """An entry describes the cut, the next ones hold the bytes."""
    shard = opened(disk)
    about, *pieces = (e.partition(b"\n") for e in shard.reader.read(index, 2).entries)
    shard.close()
    assert json.loads(about[0])["as"] == "muniment"
    record = json.loads(about[2])
    assert record["offset"] == offset and record["bytes"] == len(torn)
    assert record["sha256"] == sha256(torn).hexdigest()
    assert json.loads(pieces[0][0])["as"] == "muniment.cut"
    assert pieces[0][2] == torn


def test_a_torn_group_of_several_frames_goes_as_a_whole() -> None:
    life = a_life((batch(0, 3),), (batch(4, 20, 60_000, "large"),))
    first, second = places(life.disk)[-2:]
    assert first.header.begins and not first.header.ends and second.header.ends
    for length in {*range(first.offset, second.end, 97), second.offset, second.end - 1}:
        examine(cut_short(life, FIRST, length), without_the_last(life))


@pytest.mark.parametrize("page", [64, 512])
def test_a_last_group_with_lost_pages_is_cut_off(page: int) -> None:
    life = a_life((batch(0, 3),), (), (batch(1, 2),), (batch(2, 40, id_="torn"),))
    last = places(life.disk)[-1]
    whole = life.disk.files()[FIRST]
    for start in range(last.offset, last.end, page):
        lost = bytes(min(page, last.end - start))
        disk = life.disk.copy()
        disk.poke(FIRST, whole[:start] + lost + whole[start + len(lost) :])
        assert examine(disk, without_the_last(life)) > 5


def test_damage_before_the_last_group_is_no_torn_write() -> None:
    """A group is written after the one before it was synced, so this one was acknowledged."""
    life = a_life((batch(0, 3),), (), (batch(1, 2),), (batch(2, 4),))
    damaged = places(life.disk)[-2]
    for offset in range(damaged.offset, damaged.end):
        disk = life.disk.copy()
        data = bytearray(disk.files()[FIRST])
        data[offset] ^= 0x10
        disk.poke(FIRST, bytes(data))
        with pytest.raises(Corrupt) as error:
            opened(disk)
        assert (error.value.file, error.value.offset) == (str(FIRST), damaged.offset)
        assert disk.files()[FIRST] == bytes(data)


def test_frames_that_a_sender_made_up_do_not_stop_the_start() -> None:
    """An entry can hold the bytes of a frame; a torn write around it is still a torn write."""
    noise = Random(1).randbytes(464)
    made_up = Frame(Kind.ENTRIES, 9, 1, bytes(32), b"\0\1x", signature=noise[400:]).encode()
    hostile = Batch(kernel.pack_records([noise[:200], made_up, noise[200:400]], header()))
    life = a_life((batch(0, 3),), (hostile,))
    last = places(life.disk)[-1]
    assert made_up in life.disk.files()[FIRST]
    for length in range(last.offset + 73, last.end):
        examine(cut_short(life, FIRST, length), without_the_last(life))


def test_a_torn_seal_is_cut_off_and_the_segment_goes_on() -> None:
    life = a_life(*((batch(number, 2),) for number in range(10)))
    seal = places(life.disk)[-1]
    assert seal.header.kind is Kind.SEAL and seal.header.stored > 96
    whole = life.disk.files()[FIRST]
    kept = Life(life.disk, life.kept[:9], life.offered)
    life.disk.poke(DIRECTORY / segment_name(18), None)
    for length in range(seal.offset, len(whole), 3):
        examine(cut_short(life, FIRST, length), kept)
    for start in range(seal.offset, len(whole), 32):
        disk = life.disk.copy()
        disk.poke(FIRST, (whole[:start] + bytes(32) + whole[start + 32 :])[: len(whole)])
        examine(disk, kept)


def test_a_segment_whose_header_is_not_whole_is_removed() -> None:
    life = a_life(*((batch(number, 2),) for number in range(10)))
    path = DIRECTORY / segment_name(18)
    header_bytes = places(life.disk, path)[0].offset
    for length in range(0, header_bytes, 3):
        examine(cut_short(life, path, length), without_the_last(life))


def test_a_last_checkpoint_that_is_missing_or_cut_short_is_published_again() -> None:
    life = a_life((batch(0, 3),), (), (batch(1, 2),), ())
    path = DIRECTORY / CHECKPOINTS
    whole = life.disk.files()[path]
    before = len(whole) // 2
    for length in range(before, len(whole)):
        disk = cut_short(life, path, length)
        tail = open_tail(disk, DIRECTORY, SIGNER.verifier)
        assert tail.pending == whole[before:].decode()
        examine(disk, life)
    for start in range(before, len(whole), 32):
        disk = life.disk.copy()
        disk.poke(path, (whole[:start] + bytes(32) + whole[start + 32 :])[: len(whole)])
        examine(disk, life)
        assert disk.files()[path].startswith(whole)


def test_a_checkpoint_before_the_last_one_cannot_be_missing() -> None:
    life = a_life((batch(0, 3),), (), (batch(1, 2),), ())
    path = DIRECTORY / CHECKPOINTS
    whole = life.disk.files()[path]
    for length in range(len(whole) // 2):
        with pytest.raises(Corrupt) as error:
            opened(cut_short(life, path, length))
        assert error.value.file == str(path)


def test_an_answer_after_a_kill_is_durable() -> None:
    """The killed process had written, not synced; an answer to the repetition promises both."""
    disk = SimulatedDisk()
    Shard.create(DIRECTORY, SIGNER, disk)
    committer = Committer(disk, DIRECTORY, SIGNER, open_tail(disk, DIRECTORY, SIGNER.verifier))
    committer.commit([batch(0, 3)], 0.0)
    disk.plan = lambda step: Fault.POWER if step.operation == "sync" else None
    repeated = batch(1, 2, id_="again")
    with pytest.raises(PowerLoss):
        committer.commit([repeated], 0.0)
    disk = disk.killed()
    shard = opened(disk)
    answer = shard.submit(repeated).result()
    assert answer.replayed and answer.first == 3
    states = [disk.after_power_loss(Random(seed)) for seed in range(20)]
    shard.close()
    for lost in states:
        assert opened_entries(lost)[3:5] == entries_of(repeated)


def opened_entries(disk: SimulatedDisk) -> list[bytes]:
    shard = opened(disk)
    shard.close()
    return shard.reader.read(0).entries


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", [Fault.POWER, Fault.FAILED])
def test_a_second_crash_between_the_cut_and_its_record_loses_no_byte(fault: Fault) -> None:
    life = a_life((batch(0, 3),), (), (batch(1, 2),), (batch(2, 4),))
    last = places(life.disk)[-1]
    torn = cut_short(life, FIRST, last.end - 5)
    lost = torn.files()[FIRST][last.offset :]
    steps = steps_of_a_start(torn)
    assert steps > 15
    for number in range(steps):
        for seed in range(4):
            disk = torn.copy()
            disk.plan = at_step(number, fault)
            start_that_fails(disk)
            disk = disk.killed().after_power_loss(Random(seed))
            examine(disk, without_the_last(life))
            assert any(lost in entry for entry in opened_entries(disk)), (number, seed)


def steps_of_a_start(disk: SimulatedDisk) -> int:
    disk = disk.copy()
    opened(disk).close()
    return len(disk.steps)


def start_that_fails(disk: SimulatedDisk) -> None:
    """Opens and closes a shard as far as the disk lets it: the writer's own thread may die."""
    try:
        opened(disk).close()
    except (PowerLoss, OSError, StorageFailing):
        return


def test_a_start_that_fails_leaves_no_writer_behind() -> None:
    life = a_life((batch(0, 3),), (batch(2, 4),))
    last = places(life.disk)[-1]
    disk = cut_short(life, FIRST, last.end - 5)
    disk.plan = always("write", FIRST, Fault.FAILED)
    with pytest.raises(StorageFailing):
        opened(disk)
    assert [t.name for t in enumerate_threads() if t.name.startswith("writer edge/")] == []
    done = len(disk.steps)
    disk.plan = lambda step: None
    examine(disk, without_the_last(life))
    assert len(disk.steps) > done


def test_a_failed_segment_says_so_in_the_next_one() -> None:
    """A seal that is missing without this word is a finding: see the tampering tests."""
    disk = SimulatedDisk()
    life = Life(disk)
    life.run([(batch(0, 3),)], close=False)
    disk.plan = at_first("write", FIRST, Fault.FAILED)
    life.resume()
    assert life.refused == ["commit"]
    assert segment_name(3) in disk.names(DIRECTORY)
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    examine(disk, life)


def test_limits_below_a_header_do_not_seal_a_segment_without_entries() -> None:
    disk = SimulatedDisk()
    Shard.create(DIRECTORY, SIGNER, disk)
    tail = open_tail(disk, DIRECTORY, SIGNER.verifier)
    committer = Committer(disk, DIRECTORY, SIGNER, tail, SegmentLimits(size=1, frames=1, age=0.0))
    for number in range(5):
        committer.commit([batch(number, 1)], float(number))
        committer.publish(float(number))
    committer.close(9.0)
    report = verify_shard(DIRECTORY, disk=disk)
    assert report.findings == []
    assert (report.size, report.checkpoints, report.segments) == (5, 5, 6)
