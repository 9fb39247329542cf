"""Ranges of entries, few of them: what a hold covers of a shard."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

MAX_RANGES = 1_000
"""Ranges of one hold over all shards. Beyond that, those closest together become one: a hold then
covers more than was asked for, never less."""

Range = tuple[int, int]
"""The first index, and the index after the last."""


class Ranges:
    """A set of indexes of one shard, kept as ranges in order."""

    def __init__(self, ranges: Iterable[Range] = (), most: int = MAX_RANGES) -> None:
        self._most = most
        self._gap = 0
        self._ranges: list[Range] = []
        for first, stop in ranges:
            self.add(first, stop)

    def __len__(self) -> int:
        return len(self._ranges)

    def add(self, first: int, stop: int) -> None:
        """Adds the indexes from `first` to before `stop`."""
        if not 0 <= first < stop:
            raise ValueError(f"no range: {first} to {stop}")
        insort(self._ranges, (first, stop))
        place = bisect_left(self._ranges, (first, stop))
        begin = place - 1 if place and self._touch(place - 1) else place
        while begin + 1 < len(self._ranges) and self._touch(begin):
            self._join(begin)
        while len(self._ranges) > self._most:
            self._widen()

    def _touch(self, place: int) -> bool:
        return self._ranges[place][1] + self._gap >= self._ranges[place + 1][0]

    def _join(self, place: int) -> None:
        (first, stop), (_, later) = self._ranges[place], self._ranges.pop(place + 1)
        self._ranges[place] = (first, max(stop, later))

    def _widen(self) -> None:
        """Joins ranges that stand close together, until half of them are left at most."""
        while len(self._ranges) > self._most // 2 and len(self._ranges) > 1:
            self._gap = self._gap * 2 or 1
            kept: list[Range] = []
            for first, stop in self._ranges:
                if kept and kept[-1][1] + self._gap >= first:
                    kept[-1] = (kept[-1][0], max(kept[-1][1], stop))
                else:
                    kept.append((first, stop))
            self._ranges = kept

    def meets(self, first: int, stop: int) -> bool:
        """Whether one of the indexes from `first` to before `stop` is in it."""
        return meets(self._ranges, first, stop)

    def list(self) -> list[Range]:
        """The ranges in order."""
        return list(self._ranges)


def meets(ranges: Sequence[Range], first: int, stop: int) -> bool:
    """Whether sorted ranges share an index with that from `first` to before `stop`."""
    place = bisect_left(ranges, (first, first))
    if place and ranges[place - 1][1] > first:
        return True
    return place < len(ranges) and ranges[place][0] < stop
