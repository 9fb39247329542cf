"""A shard whose first segment has expired, as a node serves it."""

from __future__ import annotations

from mirroring import live, shown
from simulated_disk import SimulatedDisk
from small_shard import DIRECTORY, SIGNER

from muniment.log.disk import write_file
from muniment.log.note import Signer
from muniment.log.pruned import PRUNED, Pruned
from muniment.log.segment import segment_name

WHOLE = live()
MINIMUM = 294
"""The second segment of that life begins there."""


def pruned_note(signer: Signer = SIGNER) -> Pruned:
    reader = shown(WHOLE).reader
    edge = reader.tile(0, MINIMUM // 256, MINIMUM % 256)
    act = shown(WHOLE).size - 1
    return Pruned.sign(signer, MINIMUM, act, reader.root_at(MINIMUM), edge)


def pruned_disk() -> SimulatedDisk:
    disk = WHOLE.copy()
    write_file(disk, DIRECTORY / PRUNED, pruned_note().note.encode())
    disk.remove(DIRECTORY / segment_name(0))
    return disk


SOURCE = pruned_disk()
SEGMENTS = {path: data for path, data in SOURCE.files().items() if path.suffix == ".seg"}
TILES = SOURCE.read(DIRECTORY / "tiles" / "1", 0, 32)
