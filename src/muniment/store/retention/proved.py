"""Entries that decide what may go: believed only where the tree says that they are the log's.

A segment that was evicted is read from a store, and frames have checksums there, which anybody can
make. What expires, and what a lost register of holds is made of, must not be a store's to say. The
root that counts is that of the newest group commit, which is on the local disk, and the tiles are.
"""

from __future__ import annotations

from muniment import kernel
from muniment.errors import Corrupt, ProofInvalid
from muniment.log.merkle import check_consistency, check_inclusion, leaf_hash
from muniment.log.reader import ShardReader


def head(reader: ShardReader) -> tuple[int, bytes]:
    """Returns size and root of the tree after the newest group commit; (0, b"") of no tree."""
    return reader.root_after(reader.size - 1) if reader.size else (0, b"")


def proved_entry(reader: ShardReader, index: int) -> bytes:
    """Returns an entry that is in the tree. Raises Corrupt where what was read is not."""
    entry = reader.entry(index)
    size, root = head(reader)
    try:
        path = reader.inclusion_proof(index, size)
        check_inclusion(index, size, leaf_hash(entry), path, root)
    except ProofInvalid as error:
        raise Corrupt(f"entry {index}", 0, "the entry that is in the tree", str(error)) from error
    return entry


def proved_root(reader: ShardReader, size: int) -> bytes:
    """Returns the root of the first `size` entries. Raises Corrupt where it is not the tree's."""
    root = reader.root_at(size)
    newest, newest_root = head(reader)
    try:
        path = reader.consistency_proof(size, newest)
        check_consistency(size, newest, path, root, newest_root)
    except ProofInvalid as error:
        raise Corrupt(
            f"entry {size}", 0, "a tree that the newest one goes on", str(error)
        ) from error
    return root


class Following:
    """The tree over the entries of a shard that are read in order, from the minimum to the end."""

    def __init__(self, reader: ShardReader) -> None:
        self.size, self._root = head(reader)
        self.place = reader.minimum
        self._frontier = _frontier(reader, self.place)

    def take(self, payload: bytes, count: int) -> None:
        """Adds packed entries. Raises Corrupt where they are not `count`."""
        try:
            leaves = kernel.leaf_hashes(payload)
        except ValueError as error:
            raise Corrupt(f"entry {self.place}", 0, "packed entries", str(error)) from error
        if len(leaves) != count * len(leaf_hash(b"")):
            raise Corrupt(f"entry {self.place}", 0, f"{count} entries", f"{len(leaves)} bytes")
        self._frontier, _ = kernel.extend(self._frontier, self.place, leaves)
        self.place += count

    def check(self) -> None:
        """Raises Corrupt unless all that was taken is what the newest root is of."""
        found = kernel.root(self._frontier)
        if self.size and (self.place != self.size or found != self._root):
            expected = f"{self.size} entries with root {self._root.hex()}"
            raise Corrupt(f"entry {self.place}", 0, expected, f"those of root {found.hex()}")


def _frontier(reader: ShardReader, size: int) -> bytes:
    """The roots of the perfect subtrees that the first `size` entries are made of."""
    place, hashes = 0, []
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            hashes.append(reader.subtree(level, place >> level))
            place += 1 << level
    return b"".join(hashes)
