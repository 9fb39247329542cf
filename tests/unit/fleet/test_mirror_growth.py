"""A mirror's files are those of the source, byte for byte, wherever answers and lives are cut."""

from __future__ import annotations

from random import Random

import pytest
from mirroring import LIFE, LOG, Pulled, SimulatedSource, live, new_mirror, records, shown
from simulated_disk import Fault, PowerLoss, SimulatedDisk, at_step
from small_shard import DIRECTORY, SIGNER

from muniment.errors import StorageFailing, Unavailable
from muniment.fleet.mirror.shard import MirroredShard
from muniment.log import Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.merkle import check_inclusion, leaf_hash
from muniment.log.note import Note
from muniment.log.raw import End
from muniment.log.verify import verify_shard

DISK = live()
FILES = DISK.files()
SIZE = shown(DISK).size


def files_of(disk: SimulatedDisk) -> dict[str, bytes]:
    return {str(path): data for path, data in disk.files().items()}


EXPECTED = files_of(DISK)


def test_the_life_has_everything() -> None:
    shard = shown(DISK)
    segments = shard.raw.all()
    assert len(segments) == 5
    sealed = [FILES[DIRECTORY / f"{one.first:020d}.seg"][-16:-8] for one in segments]
    assert sealed.count(b"MUNIEND1") >= 2 and sealed[:-1].count(b"MUNIEND1") < len(sealed) - 1
    assert verify_shard(DIRECTORY, disk=DISK).findings == []


@pytest.mark.parametrize("most", [1, 7, 76, 1_000, 65_536, 1 << 22])
def test_it_is_the_same_byte_for_byte(most: int) -> None:
    """However small the answers are: nothing but whole pieces is written."""
    mirror, disk = mirror_of(SimulatedDisk())
    source = SimulatedSource(shown(DISK))
    if most < 1_000:
        feed(mirror, source, most, 40_000)
        source.most = 1 << 22
    else:
        source.most = most
    pulled = Pulled(mirror, source)
    pulled.run(3_000)
    assert mirror.size == SIZE
    mirror.close()
    assert files_of(disk) == EXPECTED
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def mirror_of(disk: SimulatedDisk) -> tuple[MirroredShard, SimulatedDisk]:
    return new_mirror(disk), disk


def feed(mirror: MirroredShard, source: SimulatedSource, most: int, until: int) -> None:
    """Feeds answers of so many bytes, up to a number of bytes in all."""
    source.most, fed = most, 0
    while fed < until:
        answer = source.read(LOG, "b", mirror.place, 0)
        if not answer.data:
            return
        mirror.grow(answer.data, source.name)
        fed += len(answer.data)
        if most == 1 and fed > 3_000:
            return


def test_what_it_shows_can_be_proven() -> None:
    mirror = new_mirror()
    told: list[int] = []
    mirror.on_commit.append(told.append)
    Pulled(mirror, SimulatedSource(shown(DISK))).run()
    assert told == sorted(told) and told[-1] == SIZE == mirror.size == mirror.published_size
    assert len(told) == sum(1 for act in LIFE if isinstance(act, Batch))
    note = mirror.checkpoint()
    assert note is not None
    Note.parse(note).check([SIGNER.verifier])
    for index in (0, 2, 272, SIZE - 1):
        proof = mirror.prove(index)
        checkpoint = Checkpoint.of_note(proof.note)
        leaf = leaf_hash(mirror.reader.entry(index))
        check_inclusion(index, checkpoint.size, leaf, proof.path, checkpoint.root)
    assert mirror.root == Checkpoint.of_note(note).root
    assert list(mirror.batch_ids()) == ["one", "two", "three"] and mirror.knows("two")
    answer = mirror.submit(records(1, 4, id_="two")).result(1)
    assert answer.replayed and answer.count == 1
    with pytest.raises(Unavailable):
        mirror.submit(records(1, 4))
    assert mirror.health.ok and not mirror.writable


def test_a_mirror_can_be_mirrored_while_it_grows() -> None:
    first, second = new_mirror(), new_mirror()
    from_source = SimulatedSource(shown(DISK), most=500)
    onward = Pulled(second, SimulatedSource(first))
    pulled = Pulled(first, from_source)
    for _ in range(4_000):
        pulled.puller.step()
        onward.puller.step()
        pulled.clock.seconds += 1
        onward.clock.seconds += 1
        if second.size == SIZE and second.place == first.place:
            break
    first.close()
    second.close()
    assert files_of(second._disk) == EXPECTED == files_of(first._disk)  # type: ignore[arg-type]


def test_every_beginning_can_be_gone_on_with() -> None:
    """A source that is itself at an earlier moment; the mirror is closed and opened between."""
    disk = SimulatedDisk()
    mirror = new_mirror(disk)
    for count in range(1, len(LIFE) + 1):
        moment = live(LIFE[:count])
        Pulled(mirror, SimulatedSource(shown(moment))).run()
        assert mirror.size == shown(moment).size
        if count % 2:
            mirror.close()
            mirror = MirroredShard.open(LOG, DIRECTORY, disk)
    mirror.close()
    assert files_of(disk) == EXPECTED


def test_a_source_that_is_behind_changes_nothing() -> None:
    mirror = new_mirror()
    Pulled(mirror, SimulatedSource(shown(DISK))).run()
    for count in range(len(LIFE)):
        pulled = Pulled(mirror, SimulatedSource(shown(live(LIFE[:count]))))
        pulled.run()
        assert mirror.size == SIZE and not pulled.stopped
        assert pulled.puller.lag.behind(mirror.size) == (0, 0.0)


SHORT = [LIFE[0], "publish", records(30, 2), "give up", LIFE[5], "publish", "seal", records(2, 9)]


def short_run(disk: SimulatedDisk, most: int = 400) -> None:
    """Pulls a short life in small answers; closes as a node does."""
    mirror = MirroredShard.open(LOG, DIRECTORY, disk)
    pulled = Pulled(mirror, SimulatedSource(shown(live(SHORT)), most=most))
    for _ in range(400):
        if pulled.puller.step():
            break
        pulled.clock.seconds += 0.001
    mirror.close()


def empty() -> SimulatedDisk:
    disk = SimulatedDisk()
    MirroredShard.create(DIRECTORY, SIGNER.verifier, disk)
    return disk


def steps() -> int:
    disk = empty()
    short_run(disk)
    return len(disk.steps)


@pytest.mark.parametrize("part", range(4))
def test_power_loss_and_kill_at_each_step(part: int) -> None:
    """A torn end is mended as recovery does, and pulling goes on where the files end."""
    expected = files_of(live(SHORT))
    begun = len(empty().steps)
    for number in range(begun + part, steps(), 4):
        disk = empty()
        disk.plan = at_step(number, Fault.POWER)
        with pytest.raises(PowerLoss):
            short_run(disk)
        for left in (disk.after_power_loss(Random(number)), disk.killed()):
            short_run(left)
            assert files_of(left) == expected, number


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.PERSISTED, Fault.TORN, Fault.DROPPED])
def test_what_a_disk_refused_is_pulled_again(fault: Fault) -> None:
    expected = files_of(live(SHORT))
    begun = len(empty().steps)
    for number in range(begun + 4, steps(), 3):
        disk = empty()
        disk.plan = at_step(number, fault)
        try:
            mirror = MirroredShard.open(LOG, DIRECTORY, disk)
        except OSError:
            continue
        pulled = Pulled(mirror, SimulatedSource(shown(live(SHORT)), most=400))
        for _ in range(400):
            pulled.puller.step()
            pulled.clock.seconds += 1
        try:
            mirror.close()
        except (StorageFailing, OSError):
            short_run(disk)
        assert not pulled.stopped
        short_run(disk)
        assert files_of(disk) == expected, number


def test_a_torn_end_of_a_source_is_not_shown() -> None:
    disk = live(SHORT)
    path = max(path for path in disk.files() if path.suffix == ".seg")
    whole = disk.files()[path]
    disk.poke(path, whole + b"MNMF torn")
    shard = shown(disk)
    assert shard.raw.end == End(int(path.stem), len(whole))
    for cut in range(1, 60):
        disk.poke(path, whole[:-cut])
        raw = shown(disk).raw
        assert raw.end.offset < len(whole) - cut
        mirror = new_mirror()
        Pulled(mirror, SimulatedSource(shown(disk))).run()
        mirror.close()
