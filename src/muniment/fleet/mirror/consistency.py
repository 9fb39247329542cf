"""Whether a tree that a source signed goes on from the one here, by the source's own tiles.

A mirror that cannot go on from what a source sends does not know why: spoilt bytes, or another
history. The tiles settle it. From the same few subtrees follow the root of the source's tree, which
it signed, and the root that this tree had at the size of the mirror. Where the first is what was
signed, and the second is not the root here, the source has signed another history.
"""

from __future__ import annotations

from collections.abc import Callable

from muniment.log.checkpoint import Checkpoint
from muniment.log.merkle import Subtree, node_hash, perfect_root, range_root
from muniment.log.replay import Contradiction, Damaged
from muniment.log.tiles import HASH, WIDTH

Tile = Callable[[int, int, int], bytes]
"""Returns the first hashes of a tile: level, number, how many."""


def check_continues(mine: Checkpoint, theirs: Checkpoint, tile: Tile, where: str) -> None:
    """Raises Contradiction where a larger tree of the same key is not one that goes on from `mine`.

    Raises Damaged where the tiles are not those of `theirs`, and what `tile` raises.
    """
    if not mine.size:
        return
    known: dict[tuple[int, int], bytes] = {}

    def subtree(level: int, number: int) -> bytes:
        if (level, number) not in known:
            known[level, number] = _subtree(tile, level, number, where)
        return known[level, number]

    found = _root(0, theirs.size, mine.size, subtree)
    if found != theirs.root:
        expected = f"tiles of the signed root {theirs.root.hex()}"
        raise Damaged(where, theirs.size, expected, found.hex())
    found = range_root(0, mine.size, subtree)
    if found != mine.root:
        expected = f"root {mine.root.hex()} at size {mine.size}: this is another history"
        raise Contradiction(where, mine.size, expected, found.hex())


def _root(start: int, stop: int, old: int, subtree: Subtree) -> bytes:
    """The root over [start, stop), of subtrees that do not reach over the end of the old tree."""
    width = stop - start
    if width & (width - 1) == 0 and (stop <= old or start >= old):
        level = width.bit_length() - 1
        return subtree(level, start >> level)
    middle = start + (1 << (width - 1).bit_length() - 1)
    return node_hash(_root(start, middle, old, subtree), _root(middle, stop, old, subtree))


def _subtree(tile: Tile, level: int, number: int, where: str) -> bytes:
    tile_level, height = divmod(level, 8)
    first = number << height
    place = first % WIDTH
    count = place + (1 << height)
    hashes = tile(tile_level, first // WIDTH, count)
    if len(hashes) != count * HASH:
        found = f"{len(hashes)} bytes"
        raise Damaged(where, 0, f"a tile of {count} hashes", found)
    return perfect_root([hashes[i : i + HASH] for i in range(place * HASH, len(hashes), HASH)])
