"""Replay: what a replica stored makes the same files again, and nothing else is believed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from live_shard import DIRECTORY, SIGNER, TINY, Model, compare, entry, lines, open_shard, take
from replicated_shard import new_replicated, replayed
from simulated_disk import Fault, PowerLoss, SimulatedDisk, at_step

from muniment import kernel
from muniment.errors import Corrupt, SettingsError, StorageFailing
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.note import Signer
from muniment.log.replay import Replay
from muniment.log.replica import Act, Append
from muniment.log.tail import SegmentLimits
from muniment.log.verify import verify_shard

LIMITS = SegmentLimits(size=12_000, frames=5)


def a_life() -> tuple[SimulatedDisk, list[Append], list[SimulatedDisk], list[bytes]]:
    """A shard's disk, what its replica stored, the disk when each segment was sealed, entries."""
    clock = FakeClock()
    shard, disk, replica = new_replicated(clock=clock, limits=LIMITS)
    bases: list[SimulatedDisk] = []
    shard.on_seal.append(lambda path: bases.append(disk.copy()))
    large = Batch(kernel.pack_records([Random(n).randbytes(60_000) for n in range(20)], b""))
    batches = [
        lines("a", "b", id_="one"),
        lines(*(f"tile {number}" for number in range(270))),
        large,
        lines("c"),
        *(lines(f"d {number}", id_=f"d{number}") for number in range(7)),
        lines(*("x" * 300 for _ in range(30))),
        lines("e", "f"),
        lines("g"),
    ]
    for number, batch in enumerate(batches):
        take(shard, batch)
        if number % 3 == 1:
            clock.seconds += 2
    shard.seal()
    while shard._writer._seal_asked:
        pass
    for number in range(3):
        take(shard, lines(f"h {number}"))
    shard.close()
    entries: list[bytes] = []
    while len(entries) < shard.size:
        entries += shard.reader.read(len(entries)).entries
    return disk, replica.content(), bases, entries


DISK, CONTENT, BASES, ENTRIES = a_life()
FILES = DISK.files()


def names(disk: SimulatedDisk) -> list[str]:
    return [name for name in disk.names(DIRECTORY) if name.endswith(".seg")]


def test_the_whole_is_made_again_byte_for_byte() -> None:
    assert {append.act for append in CONTENT} == set(Act)
    assert len(names(DISK)) > 4 and (DIRECTORY / "tiles" / "1") in FILES
    disk = replayed(CONTENT)
    assert disk.files() == FILES
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    shard = open_shard(disk, limits=LIMITS)
    compare(shard.reader, Model(ENTRIES), [0, 1, 257, len(ENTRIES)])
    shard.close()


@pytest.mark.parametrize("number", range(len(BASES)))
def test_a_base_of_sealed_segments_goes_on(number: int) -> None:
    """With the appends that it has already, with those that it has not alone, and in two parts."""
    base = BASES[number]
    size = Replay.open(DIRECTORY, SIGNER.verifier, base.copy()).size
    assert all(data[-16:-8] == b"MUNIEND1" for path, data in base.files().items() if path.suffix)
    assert replayed(CONTENT, base.copy()).files() == FILES
    later = [a for a in CONTENT if a.size > size or (a.size == size and a.segment == size)]
    assert replayed(later, base.copy()).files() == FILES
    middle = len(later) // 2
    disk = replayed(later[:middle], base.copy())
    assert replayed(later, disk).files() == FILES


@pytest.mark.parametrize("seal", [i for i, append in enumerate(CONTENT) if append.act is Act.SEAL])
def test_a_seal_by_age_is_known_whether_it_was_laid_down_or_not(seal: int) -> None:
    """The archive may have the sealed segment before the next append says where it goes."""
    without = replayed(CONTENT[:seal])
    laid_down = replayed(CONTENT[: seal + 1])
    assert without.files() != laid_down.files()
    assert names(without) == names(laid_down)
    for content in (CONTENT, CONTENT[seal + 1 :], CONTENT[seal:]):
        assert replayed(content, laid_down.copy()).files() == FILES
        assert replayed(content, without.copy()).files() == FILES


def test_every_beginning_can_be_gone_on_with() -> None:
    for count in range(len(CONTENT) + 1):
        disk = replayed(CONTENT[:count])
        assert verify_shard(DIRECTORY, disk=disk).findings == []
        before = disk.files()
        assert replayed(CONTENT[:count], disk).files() == before
        assert replayed(CONTENT, disk).files() == FILES


def test_on_a_real_disk(tmp_path: object) -> None:
    directory = tmp_path / DIRECTORY.name  # type: ignore[operator]
    Shard.create(directory, SIGNER)
    replay = Replay.open(directory, SIGNER.verifier)
    assert [replay.apply(append) for append in CONTENT] == [True] * len(CONTENT)
    assert [replay.apply(append) for append in CONTENT] == [False] * len(CONTENT)
    replay.close()
    disk = PosixDisk()
    for path, data in FILES.items():
        assert disk.read(directory / path.relative_to(DIRECTORY)) == data


def refused(content: list[Append], disk: SimulatedDisk | None = None) -> Corrupt:
    """Replays what must be refused; nothing of the last append is in the files afterwards."""
    expected = replayed(content[:-1], disk.copy() if disk else None).files()
    disk = replayed(content[:-1], disk)
    replay = Replay.open(DIRECTORY, SIGNER.verifier, disk)
    with pytest.raises(Corrupt) as error:
        replay.apply(content[-1])
    replay.close()
    assert disk.files() == expected
    return error.value


def test_an_append_that_is_missing() -> None:
    groups = [i for i, append in enumerate(CONTENT) if append.act is Act.GROUP]
    for number in groups[1:]:
        before = [a for a in CONTENT[: number - 1] if a.act is not Act.SEAL]
        if CONTENT[number - 1].act is Act.GROUP:
            error = refused([*before, CONTENT[number]])
            assert f"an append from entry {CONTENT[number - 1].first}" in error.expected


def test_an_append_that_begins_in_the_middle() -> None:
    first = CONTENT[0]
    assert "from entry 2" in refused([first, replace(CONTENT[2], first=1)]).expected


def test_an_append_of_another_history() -> None:
    shard, _, replica = new_replicated()
    take(shard, lines("another", "history"))
    shard.close()
    assert "root" in refused([CONTENT[0], replica.content()[0]]).expected


@pytest.mark.parametrize("segment", [1, 3, 99])
def test_a_segment_that_cannot_be(segment: int) -> None:
    assert "segment" in refused([*CONTENT[:2], replace(CONTENT[2], segment=segment)]).expected


def test_a_key_of_somebody_else() -> None:
    other = Signer(SIGNER.verifier.name, bytes(range(1, 33)))
    disk = SimulatedDisk()
    Shard.create(DIRECTORY, other, disk)
    with pytest.raises(SettingsError):
        Replay.open(DIRECTORY, SIGNER.verifier, disk)
    replay = Replay.open(DIRECTORY, other.verifier, disk)
    with pytest.raises(Corrupt, match="signed by"):
        replay.apply(CONTENT[0])
    replay.close()
    disk.poke(DIRECTORY / "verifier", None)
    with pytest.raises(Corrupt, match="verifier"):
        Replay.open(DIRECTORY, SIGNER.verifier, disk)


def test_acts_that_are_not_what_they_say() -> None:
    group, checkpoint = CONTENT[0], CONTENT[1]
    assert checkpoint.act is Act.CHECKPOINT
    changed = [
        replace(checkpoint, act=Act.GROUP, size=3),
        replace(group, act=Act.CHECKPOINT),
        replace(checkpoint, act=Act.SEAL, segment=0),
        replace(checkpoint, frames=checkpoint.frames * 2),
        replace(checkpoint, frames=b""),
        replace(checkpoint, frames=group.frames),
    ]
    refused([changed[1]])
    for append in changed[2:]:
        refused([group, append])
    refused([changed[0]])
    for frames in (b"", group.frames * 2, group.frames[:-1], group.frames + b"x"):
        refused([replace(group, frames=frames)])
    refused([replace(group, size=3)])
    refused([replace(group, root=bytes(32))])


def test_any_flipped_bit_is_refused() -> None:
    for number in (0, 1):
        append = CONTENT[number]
        for place in range(len(append.frames)):
            data = bytearray(append.frames)
            data[place] ^= 1 << place % 8
            disk = replayed(CONTENT[:number])
            replay = Replay.open(DIRECTORY, SIGNER.verifier, disk)
            with pytest.raises(Corrupt):
                replay.apply(replace(append, frames=bytes(data)))
            replay.close()


@pytest.mark.fuzz
@given(
    st.sampled_from(list(Act)),
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(0, 5),
    st.binary(max_size=400) | st.sampled_from([a.frames for a in CONTENT if len(a.frames) < 999]),
    st.integers(0, 500),
    st.binary(max_size=20),
)
def test_any_bytes_are_an_append_or_corrupt(
    act: Act, segment: int, first: int, size: int, frames: bytes, place: int, change: bytes
) -> None:
    data = frames[:place] + change + frames[place + len(change) :]
    disk = replayed([])
    replay = Replay.open(DIRECTORY, SIGNER.verifier, disk)
    replay.apply(CONTENT[0])
    try:
        applied = replay.apply(Append(act, segment, first, size, CONTENT[0].root, data))
    except Corrupt:
        applied = False
    replay.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    assert replay.size == 2 or applied


def steps_of_a_replay() -> int:
    disk = SimulatedDisk()
    Shard.create(DIRECTORY, SIGNER, disk)
    return len(replayed(CONTENT, disk).steps)


@pytest.mark.parametrize("part", range(4))
def test_power_loss_at_a_step_of_a_replay(part: int) -> None:
    for number in range(9 + part, steps_of_a_replay(), 4):
        disk = SimulatedDisk()
        Shard.create(DIRECTORY, SIGNER, disk)
        disk.plan = at_step(number, Fault.POWER)
        with pytest.raises(PowerLoss):
            replayed(CONTENT, disk)
        for seed in range(2):
            assert replayed(CONTENT, disk.after_power_loss(Random(seed))).files() == FILES
        assert replayed(CONTENT, disk.killed()).files() == FILES


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.PERSISTED, Fault.TORN, Fault.DROPPED])
def test_what_a_disk_refused_can_be_applied_again(fault: Fault) -> None:
    for number in range(12, steps_of_a_replay(), 3):
        disk = SimulatedDisk()
        Shard.create(DIRECTORY, SIGNER, disk)
        replay = Replay.open(DIRECTORY, SIGNER.verifier, disk)
        disk.plan = at_step(number, fault)
        failures = 0
        for append in CONTENT:
            while True:
                try:
                    replay.apply(append)
                    break
                except StorageFailing:
                    failures += 1
        replay.close()
        assert failures <= 1
        assert disk.files() == FILES


def test_a_torn_group_that_is_whole_again_is_no_entry_of_its_own() -> None:
    last = next(i for i in range(4, len(CONTENT)) if CONTENT[i].act is Act.GROUP)
    disk = replayed(CONTENT[: last + 1])
    path = DIRECTORY / names(disk)[-1]
    data = disk.files()[path]
    for cut in (3, 70, 150):
        torn = disk.copy()
        torn.poke(path, data[:-cut])
        torn = replayed(CONTENT, torn)
        assert torn.files() == FILES


def test_a_torn_group_that_the_replica_does_not_have_stays_for_its_record() -> None:
    """Of a time before there was a replica: the next Shard puts it into the log."""
    shard, disk, _ = new_replicated()
    shard.close()
    shard = open_shard(disk, limits=TINY)
    take(shard, lines("a"))
    shard.close()
    path = DIRECTORY / "00000000000000000000.seg"
    disk.poke(path, disk.files()[path] + b"MNMF torn")
    replayed([], disk)
    assert [name for name in disk.names(DIRECTORY) if ".cut-" in name]
    shard = open_shard(disk)
    assert shard.size == 3 and shard.reader.entry(0) == entry("a")
    shard.close()
