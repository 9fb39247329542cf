"""Counters reconciled with entries: what to look up next, and what follows from the answer.

One `Ledger` stands for one counter of one instance as one sender tells it. It takes looks as they
arrive, says which entries are to be counted, and turns the answers into findings: a gap, one that
was closed by entries that came late, more entries than were served, a stretch of which nothing is
known. It does no I/O and asks for no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from muniment.query.stretch import Tally
from muniment.watch.segment import Look, Loss, Segment

MAX_WAITING = 1_000
"""Looks of a counter that wait; of more, every other one is left out: the counts go on."""

MAX_OPEN = 8
"""Former segments of a counter in which something is still missing."""

KEPT_MS = 24 * 3_600_000
"""How long entries that are missing may still come, after the last look of their segment."""

_NOW = 1 << 62


class Act(StrEnum):
    """What a record of completeness says."""

    GAP = "completeness.gap"
    CLOSED = "completeness.closed"
    SURPLUS = "completeness.surplus"
    UNKNOWN = "completeness.unknown"
    REPEATED = "completeness.repeated"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to record of a stretch between two looks.

    `total` is what is missing since `anchor` (a time) after this, which makes a record that is
    written twice for the same state the same record.
    """

    act: Act
    start: int
    end: int
    served: int
    number: int
    total: int
    anchor: int
    epoch: str
    exact: bool = True


class Ledger(msgspec.Struct):
    """One counter: its segment now, those before it that still miss something, waiting looks."""

    match: str = ""
    waiting: list[Look] = []
    current: Segment | None = None
    former: list[Segment] = []
    surplus: int = 0
    surplus_told: int = 0

    def take(self, look: Look, match: str) -> None:
        """Takes a look that arrived; one that is not newer than the last is of no use."""
        self.match = match
        newest = self.waiting[-1] if self.waiting else self.current and self.current.last
        if newest and look.time <= newest.time:
            return
        self.waiting.append(look)
        if len(self.waiting) > MAX_WAITING:
            last = len(self.waiting) - 1
            self.waiting = [
                one
                for place, one in enumerate(self.waiting)
                if place % 2 or place == last or self.waiting[place + 1].epoch != one.epoch
            ]

    def keep_newest(self, count: int) -> None:
        """Forgets waiting looks but the newest: what cannot be counted has no use for them."""
        self.waiting = self.waiting[-count:]

    def due(self, now: int, grace: int) -> list[Finding]:
        """Lets looks in that arrived `grace` ms ago; what a new epoch hides is found at once."""
        found: list[Finding] = []
        while self.waiting and self.waiting[0].received + grace <= now:
            look = self.waiting[0]
            segment = self.current
            if segment is not None and len(segment.looks) - segment.settled >= MAX_WAITING:
                break
            if segment is None:
                self.current = Segment([look])
            elif look.epoch == segment.last.epoch and look.served >= segment.last.served:
                segment.add(look)
            elif segment.settled < len(segment.looks):
                break  # what the old epoch served is to be counted first
            else:
                found += self._losses(segment, _NOW)
                found.append(self._unknown(segment, look.time, look.epoch))
                self._retire(segment)
                self.current = Segment([look], after_reload=True)
            self.waiting.pop(0)
        return found

    def segments(self, now: int) -> Iterator[Segment]:
        """Yields what is to be counted: new looks, and what may still come of what is missing."""
        self.former = [one for one in self.former if one.told and one.last.time + KEPT_MS > now]
        yield from self.former
        segment = self.current
        if segment is not None and (segment.settled < len(segment.looks) or segment.told):
            yield segment

    def counted(
        self,
        segment: Segment,
        tally: Tally,
        until: Mapping[str, int],
        *,
        settle: int,
        before: int,
    ) -> list[Finding]:
        """Takes what was counted for a segment and returns what follows from it.

        For `settle` ms after a reload, entries of the old epoch that go on to come are no surplus.
        See `Segment.loss` for `before`.
        """
        segment.count(tally, until)
        found = list(self._losses(segment, before if segment is self.current else _NOW))
        if segment is self.current:
            found += self._surplus(segment, settle)
        segment.compact()
        return found

    @property
    def compared(self) -> Look | None:
        """The newest look that was compared with entries."""
        segment = self.current
        return segment.looks[segment.settled - 1] if segment and segment.settled else None

    def all(self) -> Iterator[Segment]:
        """Yields every segment, oldest first."""
        yield from self.former
        if self.current is not None:
            yield self.current

    def _losses(self, segment: Segment, before: int) -> Iterator[Finding]:
        loss = segment.loss(before)
        if loss is not None:
            segment.told += loss.missing
            yield _gap(segment, loss)
        elif (missing := segment.missing()) < segment.told:
            late, segment.told = segment.told - missing, missing
            yield Finding(
                Act.CLOSED,
                segment.anchor.time,
                segment.last.time,
                segment.last.served - segment.anchor.served,
                late,
                missing,
                segment.anchor.time,
                segment.anchor.epoch,
            )

    def _surplus(self, segment: Segment, settle: int) -> Iterator[Finding]:
        """More entries than were served: this is said, and counting begins anew."""
        found = segment.surplus()
        if found is None:
            return
        number, look = found
        last = segment.last
        yield from self._losses(segment, _NOW)
        self._retire(segment)
        reloading = segment.after_reload and look.time - segment.anchor.time <= settle
        self.current = Segment([last], after_reload=reloading)
        if reloading:
            yield self._unknown(segment, look.time, look.epoch)
            return
        self.surplus += number
        if self.surplus >= 2 * self.surplus_told:  # a wrong match would be told at each look
            told, self.surplus_told = self.surplus_told, self.surplus
            yield Finding(
                Act.SURPLUS,
                segment.anchor.time,
                look.time,
                look.served - segment.anchor.served,
                self.surplus - told,
                self.surplus,
                segment.anchor.time,
                segment.anchor.epoch,
            )

    def _unknown(self, segment: Segment, end: int, epoch: str) -> Finding:
        start = segment.last.time if segment.last.epoch != epoch else segment.anchor.time
        return Finding(Act.UNKNOWN, start, max(start, end), 0, 0, segment.told, start, epoch)

    def _retire(self, segment: Segment) -> None:
        if segment.told:
            self.former = [*self.former, segment][-MAX_OPEN:]


def _gap(segment: Segment, loss: Loss) -> Finding:
    return Finding(
        Act.GAP,
        loss.start.time,
        loss.end.time,
        loss.end.served - loss.start.served,
        loss.missing,
        segment.told,
        segment.anchor.time,
        segment.anchor.epoch,
        loss.exact,
    )


def arrived(finding: Finding) -> int:
    """Entries that are there of what was served in the stretch of a finding."""
    if finding.act is Act.GAP:
        return finding.served - finding.number
    return finding.number
