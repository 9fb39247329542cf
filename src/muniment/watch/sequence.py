"""Numbers of capture streams as they come: which are missing, and which came again.

Parcels go to several shards and over several ways, so a number that is passed over is missing only
once it has been so for a while. What was before the first parcel that was seen is not known here:
`muniment verify` reads the whole log, and checks the chains too.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

MAX_HOLES = 1_000
"""Ranges of numbers that may still come; of more, the oldest are given up."""


class Hole(msgspec.Struct):
    """Numbers that are not there, since when (ms since the epoch), and whether that was told."""

    first: int
    last: int
    since: int
    told: bool = False

    @property
    def count(self) -> int:
        """How many numbers these are."""
        return self.last - self.first + 1


class Sequence(msgspec.Struct):
    """The numbers of one stream of one sender, from the first that was seen."""

    first: int
    last: int
    at: int = 0
    holes: list[Hole] = msgspec.field(default_factory=list)
    repeated: int = 0

    def take(self, first: int, last: int, copies: int, now: int) -> tuple[int, list[Hole]]:
        """Takes records that came; returns how many came again, and what closes told holes."""
        again = (copies - 1) * (last - first + 1)
        self.at = now
        if first > self.last:
            if first > self.last + 1:
                self.holes.append(Hole(self.last + 1, first - 1, now))
                del self.holes[:-MAX_HOLES]
            self.last = last
            return self._count(again), []
        closed, fresh = self._fill(first, min(last, self.last))
        new = fresh + max(0, last - self.last)
        self.last = max(self.last, last)
        return self._count(again + last - first + 1 - new), closed

    def _count(self, again: int) -> int:
        self.repeated += again
        return again

    def _fill(self, first: int, last: int) -> tuple[list[Hole], int]:
        """Takes numbers out of the holes; returns those that had been told, and how many in all."""
        closed, left, fresh = [], [], 0
        for hole in self.holes:
            low, high = max(hole.first, first), min(hole.last, last)
            if low > high:
                left.append(hole)
                continue
            fresh += high - low + 1
            if hole.told:
                closed.append(Hole(low, high, hole.since, True))
            if hole.first < low:
                left.append(Hole(hole.first, low - 1, hole.since, hole.told))
            if high < hole.last:
                left.append(Hole(high + 1, hole.last, hole.since, hole.told))
        self.holes = left
        return closed, fresh

    def missing(self, now: int, grace: int) -> Iterator[Hole]:
        """Yields what has been missing for `grace` ms, once."""
        for hole in self.holes:
            if not hole.told and hole.since + grace <= now:
                hole.told = True
                yield hole

    @property
    def lost(self) -> int:
        """How many numbers are missing."""
        return sum(hole.count for hole in self.holes)
