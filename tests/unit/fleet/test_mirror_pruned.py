"""A mirror of a shard whose first entries have expired begins where those end."""

from __future__ import annotations

from random import Random

import pytest
from fake_nodes import FakeNodes
from mirroring import LOG, NAME, Pulled, SimulatedSource, shown
from pruned_source import MINIMUM, SEGMENTS, SOURCE, TILES, WHOLE, pruned_note
from simulated_disk import Fault, PowerLoss, SimulatedDisk, at_step
from small_shard import DIRECTORY, OTHER, SIGNER

from muniment.clock import SystemClock
from muniment.errors import Corrupt, Expired
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Peer
from muniment.log.base import Base


def base() -> Base:
    nodes = FakeNodes()
    node = nodes.add("n1", shown(SOURCE), minimum=MINIMUM)
    node.pruned = pruned_note().note
    return Peer(nodes.calls, node.url, SystemClock()).base(LOG, NAME, SIGNER.verifier)


def new(disk: SimulatedDisk) -> MirroredShard:
    MirroredShard.create(DIRECTORY, SIGNER.verifier, disk, base())
    return MirroredShard.open(LOG, DIRECTORY, disk)


def test_it_begins_at_the_minimum_and_proves_what_is_there() -> None:
    disk = SimulatedDisk()
    mirror = new(disk)
    assert (mirror.size, mirror.place.segment) == (MINIMUM, MINIMUM)
    Pulled(mirror, SimulatedSource(shown(SOURCE))).run()
    whole = shown(WHOLE)
    assert mirror.size == whole.size and mirror.checkpoint() == whole.checkpoint()
    assert mirror.reader.minimum == MINIMUM
    assert mirror.reader.entry(MINIMUM) == whole.reader.entry(MINIMUM)
    assert mirror.prove(MINIMUM).path == whole.prove(MINIMUM).path
    with pytest.raises(Expired):
        mirror.reader.entry(MINIMUM - 1)
    mirror.close()
    found = {path: data for path, data in disk.files().items() if path.suffix == ".seg"}
    assert found == SEGMENTS
    again = MirroredShard.open(LOG, DIRECTORY, disk)
    assert again.size == whole.size and again.root == mirror.root
    again.close()


def test_it_is_killed_at_each_step() -> None:
    disk = SimulatedDisk()
    new(disk)
    begun = len(disk.steps)
    for number in range(begun, begun + 400, 3):
        disk = SimulatedDisk()
        MirroredShard.create(DIRECTORY, SIGNER.verifier, disk, base())
        disk.plan = at_step(number, Fault.POWER)
        try:
            mirror = MirroredShard.open(LOG, DIRECTORY, disk)
            Pulled(mirror, SimulatedSource(shown(SOURCE), most=700)).run()
            mirror.close()
        except PowerLoss:
            for left in (disk.after_power_loss(Random(number)), disk.killed()):
                mirror = MirroredShard.open(LOG, DIRECTORY, left)
                Pulled(mirror, SimulatedSource(shown(SOURCE))).run()
                mirror.close()
                found = {p: data for p, data in left.files().items() if p.suffix == ".seg"}
                assert found == SEGMENTS, number
        else:
            return
    raise AssertionError("it has more steps")


@pytest.mark.parametrize("hashes", [b"", TILES[:-1], bytes(32), TILES * 2])
def test_tiles_that_are_not_of_the_signed_root(hashes: bytes) -> None:
    with pytest.raises(Corrupt):
        Base.of(pruned_note(), hashes, "n1")


def test_a_note_of_another_key() -> None:
    with pytest.raises(Corrupt, match="signed by"):
        Base.parse(pruned_note(OTHER).note.encode(), TILES, SIGNER.verifier, "n1")
