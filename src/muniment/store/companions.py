"""What the companions of a shard's segments say together: its checkpoints and tiles.

They stand in for two files that no store holds. Whether they say the truth is checked against the
segments, by `log.verify` (checkpoints and tiles) and `trust.stores` (everything else).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.errors import Corrupt
from muniment.store.names import tree_first, tree_key
from muniment.store.tree import MAX_BYTES, Companion

if TYPE_CHECKING:
    from muniment.store.disk import StoreDisk

AT_ONCE = 4


@dataclass
class Companions:
    """The companions of a shard by first index, in order, and the files made of them.

    `broken` are those that could not be read.
    """

    by_first: dict[int, Companion] = field(default_factory=dict)
    broken: dict[int, Corrupt] = field(default_factory=dict)

    @classmethod
    def read(cls, disk: StoreDisk, shard: Path) -> Companions:
        """Reads all companions of a shard. Raises StoreFailing."""
        found = cls()
        log, name = shard.parts[1:3]
        firsts = [tree_first(one) for one in disk.inventory.names(str(shard))]
        known = [first for first in firsts if first is not None]
        for first, companion in _read(disk, log, name, known):
            if isinstance(companion, Corrupt):
                found.broken[first] = companion
            else:
                found.by_first[first] = companion
        return found

    @cached_property
    def notes(self) -> bytes:
        """The file `checkpoints`."""
        return "".join(note for one in self.by_first.values() for note in one.notes).encode()

    @cached_property
    def tiles(self) -> list[bytes]:
        """The files of the tile levels 1, 2, ..."""
        levels: list[list[bytes]] = []
        for one in self.by_first.values():
            for number, hashes in enumerate(one.tiles):
                if number == len(levels):
                    levels.append([])
                levels[number].append(hashes)
        return [b"".join(level) for level in levels]

    @property
    def newest(self) -> str | None:
        """The newest checkpoint."""
        return next((c.notes[-1] for c in reversed(self.by_first.values()) if c.notes), None)

    @property
    def size(self) -> int:
        """The tree's size at the end of the last companion."""
        return max((one.size for one in self.by_first.values()), default=0)


def _one(disk: StoreDisk, log: str, shard: str, first: int) -> Companion:
    """Reads one companion. Raises Corrupt, FileNotFoundError, StoreFailing."""
    key = tree_key(log, shard, first)
    size = disk.size(Path(key))
    if size > MAX_BYTES:
        raise Corrupt(key, 0, f"at most {MAX_BYTES} bytes", f"{size}")
    companion = Companion.decode(disk.object(key), key)
    if companion.first != first:
        raise Corrupt(key, 0, f"the companion from entry {first}", f"from {companion.first}")
    return companion


def _read(
    disk: StoreDisk, log: str, shard: str, firsts: list[int]
) -> Iterator[tuple[int, Companion | Corrupt]]:
    def one(first: int) -> Companion | Corrupt:
        try:
            return _one(disk, log, shard, first)
        except Corrupt as error:
            return error
        except FileNotFoundError:
            return Corrupt(tree_key(log, shard, first), 0, "a companion", "nothing: it has gone")

    with ThreadPoolExecutor(AT_ONCE, "companions") as pool:
        for start in range(0, len(firsts), AT_ONCE):
            part = firsts[start : start + AT_ONCE]
            yield from zip(part, pool.map(one, part), strict=True)
