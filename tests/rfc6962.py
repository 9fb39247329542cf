"""RFC 6962 section 2.1 as it is written, recursion and all: the oracle for trees and proofs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256


class NaiveTree:
    """A tree over all of its entries; D[start:stop] is a range of them."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.leaves = [sha256(b"\x00" + entry).digest() for entry in entries]
        self._root = cache(self._compute)

    def root(self, start: int, stop: int) -> bytes:
        """MTH(D[start:stop])."""
        return self._root(start, stop)

    def _compute(self, start: int, stop: int) -> bytes:
        if stop == start:
            return sha256(b"").digest()
        if stop - start == 1:
            return self.leaves[start]
        k = start + split(stop - start)
        return sha256(b"\x01" + self.root(start, k) + self.root(k, stop)).digest()

    def path(self, index: int, start: int, stop: int) -> list[bytes]:
        """PATH(index, D[start:stop]), with the index counted from 0 in the whole tree."""
        if stop - start == 1:
            return []
        k = start + split(stop - start)
        if index < k:
            return [*self.path(index, start, k), self.root(k, stop)]
        return [*self.path(index, k, stop), self.root(start, k)]

    def proof(self, old: int, new: int) -> list[bytes]:
        """PROOF(old, D[0:new])."""
        return self._subproof(old, 0, new, True)

    def _subproof(self, old: int, start: int, stop: int, whole: bool) -> list[bytes]:
        if old == stop:
            return [] if whole else [self.root(start, stop)]
        k = start + split(stop - start)
        if old <= k:
            return [*self._subproof(old, start, k, whole), self.root(k, stop)]
        return [*self._subproof(old, k, stop, False), self.root(start, k)]


def split(width: int) -> int:
    """The largest power of two below `width`."""
    k = 1
    while 2 * k < width:
        k *= 2
    return k
