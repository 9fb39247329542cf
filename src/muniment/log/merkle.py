"""The Merkle tree of RFC 6962: proofs and their checks, over any source of subtree hashes.

Pure: no file, no clock. Where the hashes of a large tree come from is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from muniment.errors import ProofInvalid

Subtree = Callable[[int, int], bytes]
"""`subtree(level, n)`: the root of the perfect subtree over leaves [n << level, n + 1 << level)."""

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Returns SHA-256(0x00 || entry), RFC 6962 section 2.1."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns SHA-256(0x01 || left || right), RFC 6962 section 2.1."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Returns the root over a power of two of sibling hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def range_root(start: int, stop: int, subtree: Subtree) -> bytes:
    """Returns the root over leaves [start, stop), where RFC 6962 splits a tree at `start`."""
    parts = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        parts.append(subtree(level, start >> level))
        start += 1 << level
    if not parts:
        return EMPTY_ROOT
    top = parts.pop()
    while parts:
        top = node_hash(parts.pop(), top)
    return top


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Returns the audit path of leaf `index` in the tree of `size`, from its sibling upward.

    RFC 6962 section 2.1.1. Raises ValueError unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"index {index} is not in a tree of {size}")
    start, stop = 0, size
    path = []
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(range_root(middle, stop, subtree))
            stop = middle
        else:
            path.append(range_root(start, middle, subtree))
            start = middle
    path.reverse()
    return path


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """Returns the proof that the tree of `old` leaves is a prefix of that of `new`.

    RFC 6962 section 2.1.2. Raises ValueError unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} is no prefix of a tree of {new}")
    if old in (0, new):
        return []
    start, stop = 0, new
    path = []
    whole = True
    while old < stop:
        middle = start + _split(stop - start)
        if old <= middle:
            path.append(range_root(middle, stop, subtree))
            stop = middle
        else:
            path.append(range_root(start, middle, subtree))
            start, whole = middle, False
    if not whole:
        path.append(range_root(start, stop, subtree))
    path.reverse()
    return path


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1


def check_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raises ProofInvalid unless `path` leads from `leaf` to `root` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofInvalid(f"index {index} is not in a tree of {size}")
    node, last = index, size - 1
    top = leaf
    for sibling in path:
        if last == 0:
            raise ProofInvalid("the inclusion proof is too long")
        if node & 1 or node == last:
            top = node_hash(sibling, top)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            top = node_hash(top, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalid("the inclusion proof is too short")
    if top != root:
        raise ProofInvalid(f"the proof leads to root {top.hex()}, not to {root.hex()}")


def check_consistency(
    old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Raises ProofInvalid unless the tree of `old` is a prefix of that of `new`.

    RFC 9162 section 2.1.4.2.
    """
    if not 0 <= old <= new:
        raise ProofInvalid(f"a tree of {old} is no prefix of a tree of {new}")
    if old in (0, new):
        if path:
            raise ProofInvalid("the consistency proof must be empty here")
        if (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise ProofInvalid("the roots differ at the same size")
        return
    hashes = list(path)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise ProofInvalid("the consistency proof is too short")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_top = new_top = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofInvalid("the consistency proof is too long")
        if node & 1 or node == last:
            old_top, new_top = node_hash(sibling, old_top), node_hash(sibling, new_top)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_top = node_hash(new_top, sibling)
        node, last = node >> 1, last >> 1
    if last or old_top != old_root or new_top != new_root:
        raise ProofInvalid("the consistency proof does not connect the two roots")
