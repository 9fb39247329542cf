"""Where a copy begins whose first entries have expired: the signed note, and the tiles below it.

The note says the root of the tree of all that expired, and the leaf hashes of its last, incomplete
tile. The hashes of tile level 1 below it can come from anybody: with those leaves they give the
tree's frontier, and its root must be the signed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment import kernel
from muniment.errors import Corrupt
from muniment.log.appender import CHECKPOINTS
from muniment.log.disk import Disk, write_file
from muniment.log.history import segment_names
from muniment.log.note import Verifier
from muniment.log.pruned import PRUNED, Pruned, parse_pruned, read_pruned
from muniment.log.tail import Tail
from muniment.log.tiles import DIRECTORY, HASH, TileFiles, completed


@dataclass(frozen=True, slots=True)
class Base:
    """The beginning of a copy: a note whose frontier was checked, the hashes of each tile level."""

    note: Pruned
    frontier: bytes
    tiles: Sequence[bytes]

    @classmethod
    def of(cls, note: Pruned, hashes: bytes, where: str) -> Base:
        """Takes the hashes of tile level 1 below the minimum. Raises Corrupt."""
        expected = completed(note.minimum, 1) * HASH
        if len(hashes) != expected:
            raise Corrupt(where, 0, f"{expected} bytes of tile hashes", f"{len(hashes)}")
        whole, above = kernel.extend(b"", 0, hashes)
        frontier = whole + kernel.extend(b"", 0, note.edge)[0]
        found = kernel.root(frontier)
        if found != note.root:
            expected_root = f"tiles of root {note.root.hex()} at size {note.minimum}"
            raise Corrupt(where, 0, expected_root, found.hex())
        return cls(note, frontier, [hashes, *above] if hashes else [])

    @classmethod
    def parse(cls, data: bytes, hashes: bytes, verifier: Verifier, where: str) -> Base:
        """As `of`, from the bytes of a note. Raises Corrupt."""
        return cls.of(parse_pruned(data, where, verifier), hashes, where)

    def write(self, disk: Disk, directory: Path) -> None:
        """Puts note and tiles into the folder of a copy that has nothing else. Raises OSError."""
        disk.make_directory(directory / DIRECTORY)
        for number, hashes in enumerate(self.tiles, 1):
            write_file(disk, directory / DIRECTORY / str(number), hashes)
        write_file(disk, directory / PRUNED, self.note.note.encode())


def base_tail(disk: Disk, directory: Path, verifier: Verifier) -> Tail | None:
    """Returns the tail of a copy that begins at a minimum and has no checkpoint of its own yet.

    None for any other. What it has of segments is removed, as nothing in it tells the frontier: it
    comes again. Raises Corrupt, OSError.
    """
    note = read_pruned(disk, directory, verifier)
    if note is None or CHECKPOINTS in disk.names(directory):
        return None
    path = directory / DIRECTORY / "1"
    length = completed(note.minimum, 1) * HASH
    base = Base.of(note, disk.read(path, 0, length) if length else b"", str(path))
    for name in segment_names(disk, directory):
        disk.remove(directory / name)
    disk.sync_directory(directory)
    tiles = TileFiles(disk, directory / DIRECTORY, note.minimum)
    return Tail(note.minimum, base.frontier, tiles, published=None, checkpoints=0)
