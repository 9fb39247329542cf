"""When the request of an entry was counted, as far as the entry tells; and tallies of many.

The time of an entry is that of the beginning or of the end of its request, by source and format,
and a counter counts a request between the two, once its head is there. A look at a counter and its
time lie a little apart, and clocks that tell whole seconds tell no more. Hence the stretch

    [time - duration - MARGIN,  time + seconds cut off + time to read the head + MARGIN]
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

MARGIN_MS = 250
"""How far the time of a look may be from the moment at which the counter was read."""

HEAD_MS = 60_000
"""A head that took longer to read counts as one that took so long."""

BACK_MS = HEAD_MS + 1_000 + MARGIN_MS
"""Entries whose time is so long before a look are surely counted before it."""

Group = tuple[int, int, bool, int]
"""Entries alike: where their stretch begins and ends, whether they are new, how many they are."""


class Tally(msgspec.Struct, frozen=True):
    """Entries by where their stretch begins and ends.

    Of those that begin at or after the first border, `possible[i]` begin behind border i and
    before the next, and `sure[i]` end there. `around` begin before the first border and end behind
    it, `ended[i]` of them between border i and the next.
    """

    possible: Sequence[int]
    sure: Sequence[int]
    around: int
    ended: Sequence[int]


def tally(groups: Iterable[Group], borders: Sequence[int], settled: int) -> Tally:
    """Counts entries between borders (at least one, ascending).

    Of entries that are not new, those that begin or end before border `settled` - 1 have been
    counted there.
    """
    possible = [0] * len(borders)
    sure = [0] * len(borders)
    ended = [0] * len(borders)
    around = 0
    first = borders[0]
    done = borders[settled - 1] if settled else first
    for begin, end, new, count in groups:
        if begin < first:
            if end >= first:
                around += count if new or not settled else 0
                ended[bisect_right(borders, end) - 1] += count if new or end >= done else 0
            continue
        if new or begin >= done:
            possible[bisect_right(borders, begin) - 1] += count
        if new or end >= done:
            sure[bisect_right(borders, end) - 1] += count
    return Tally(possible[:-1], sure[:-1], around, ended[:-1])
