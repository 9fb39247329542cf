"""One count of one counter, look by look, against the entries that arrived: what is missing?

An instance says at looks t0 < t1 < ... how much it has served in all. An entry's time says when
its request was counted only within limits: it may be that of the end, clocks are read a moment
before or after the counter, a time may be cut to the second. So each entry has a stretch in which
it was counted, and at each look some entries *surely* lie before it and some *possibly* do:

    missing  >=  served - those that possibly lie between the anchor and the look
    missing  <=  served - those that surely do

What is missing can only grow from look to look, so the highest lower bound of all looks is a lower
bound for the last: traffic that never rests blurs a single look, not the sum. At a look around
which nothing happens, both bounds are the same number. Entries that come late lower the counts of
the looks behind them, whenever they come.

Pure functions over plain numbers; times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from muniment.query.stretch import Tally

MAX_LOOKS = 64
"""Looks of a segment that are kept; of more, those that say the least are merged."""


class Look(msgspec.Struct, frozen=True):
    """What a counter said at `time`; `received` is when the log had it."""

    time: int
    served: int
    epoch: str
    received: int


@dataclass(frozen=True, slots=True)
class Loss:
    """`missing` more of what was served between two looks is not there.

    `exact` says that it can be neither more nor less; otherwise it is at least so many.
    """

    start: Look
    end: Look
    missing: int
    exact: bool


class Segment(msgspec.Struct):
    """Looks of one epoch since the first of them, the anchor, and what arrived between them.

    The counts are those of `Tally`, with the looks as borders. `settled` looks have been counted,
    for entries below `seen` of each shard. `told` is how much is recorded as missing;
    `after_reload` says that another epoch came before.
    """

    looks: list[Look]
    possible: list[int] = msgspec.field(default_factory=list)
    sure: list[int] = msgspec.field(default_factory=list)
    around: int = 0
    ended: list[int] = msgspec.field(default_factory=list)
    settled: int = 0
    seen: dict[str, int] = msgspec.field(default_factory=dict)
    told: int = 0
    after_reload: bool = False

    @property
    def anchor(self) -> Look:
        """The first look."""
        return self.looks[0]

    @property
    def last(self) -> Look:
        """The newest look."""
        return self.looks[-1]

    def add(self, look: Look) -> None:
        """Adds a later look of the same epoch."""
        self.looks.append(look)
        for counts in (self.possible, self.sure, self.ended):
            counts.append(0)

    def borders(self) -> list[int]:
        """The times of the looks."""
        return [look.time for look in self.looks]

    def count(self, tally: Tally, until: Mapping[str, int]) -> None:
        """Adds what a tally over `borders`, `settled` and `seen` found below `until`."""
        for place in range(len(self.looks) - 1):
            self.possible[place] += tally.possible[place]
            self.sure[place] += tally.sure[place]
            self.ended[place] += tally.ended[place]
        self.around += tally.around
        self.seen, self.settled = dict(until), len(self.looks)

    def least(self) -> list[int]:
        """Lower bounds of what was missing at each look."""
        around = self._around()
        between = _sums(self.possible)
        return [
            look.served - self.anchor.served - arrived - around
            for look, arrived in zip(self.looks, between, strict=True)
        ]

    def most(self) -> list[int]:
        """Upper bounds of what was missing at each look; below 0 there are too many entries."""
        between = _sums(self.sure)
        return [
            look.served - self.anchor.served - arrived
            for look, arrived in zip(self.looks, between, strict=True)
        ]

    def _around(self) -> int:
        """How many of the entries around the anchor may have been counted after it.

        No more than that: had more been, less than nothing would have been missing at some look
        behind the end of their stretch.
        """
        ended = _sums(self.ended)
        bounds = [
            bound + self.around - done for bound, done in zip(self.most(), ended, strict=True)
        ]
        return min(self.around, max(0, min(bounds)))

    def missing(self) -> int:
        """What is missing for sure, of all that was served since the anchor."""
        return max(0, *self.least())

    def loss(self, before: int) -> Loss | None:
        """What is missing beyond `told`, between the two looks that are nearest to it.

        As long as it is only known to be at least so much, a look that knows better is waited for,
        unless the first that saw a loss was received `before` then (ms since the epoch).
        """
        least, most = self.least(), self.most()
        missing = max(0, *least)
        if missing <= self.told:
            return None
        end = least.index(missing)
        first = next(i for i, bound in enumerate(least) if bound > self.told)
        exact = min(most[end:]) <= missing  # more can only be missing later
        if not exact and self.looks[first].received > before:
            return None
        start = max((i for i in range(1, end) if most[i] <= self.told), default=0)
        return Loss(self.looks[start], self.looks[end], missing - self.told, exact)

    def surplus(self) -> tuple[int, Look] | None:
        """How many more entries there are than were served, and the look that shows it best."""
        most = self.most()
        least = min(most)
        return (-least, self.looks[most.index(least)]) if least < 0 else None

    def compact(self) -> None:
        """Merges looks that bound nothing, then the closest, down to MAX_LOOKS."""
        if len(self.looks) <= MAX_LOOKS:
            return
        needed = self._needed()
        for place in range(len(self.looks) - 2, 0, -1):
            if place not in needed:
                self._merge(place)
        while len(self.looks) > MAX_LOOKS:
            times = self.borders()
            inner = range(1, len(times) - 1)
            self._merge(min(inner, key=lambda place: (times[place + 1] - times[place - 1], place)))

    def _needed(self) -> set[int]:
        """Looks at which more was missing than ever before, and those that bound it from above."""
        least, most = self.least(), self.most()
        needed, best = {most.index(min(most))}, 0
        for place, missing in enumerate(least):
            if missing > best:
                needed.add(place)
                best = missing
        needed.add(max((i for i, bound in enumerate(most) if bound <= self.told), default=0))
        return needed

    def _merge(self, place: int) -> None:
        for counts in (self.possible, self.sure, self.ended):
            counts[place - 1] += counts.pop(place)
        del self.looks[place]
        self.settled -= 1


def _sums(counts: Sequence[int]) -> list[int]:
    """The sums of the first 0, 1, 2 ... counts."""
    sums = [0]
    for count in counts:
        sums.append(sums[-1] + count)
    return sums
