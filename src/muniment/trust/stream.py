"""One captured stream, parcel by parcel: what is missing, repeated, out of order, not linked.

A stream is at first one gap without an end; each parcel takes its records out of a gap, and the
edges of gaps remember the head of the chain before them and the one that must stand behind them.
So parcels may come in any order, and memory grows with what is missing, not with what is there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from muniment.capture.chain import Head, first_head

MAX_GAPS = 10_000
MAX_PROBLEMS = 100
MAX_SEARCHES = 1_000
"""How often a parcel whose end is not known is looked for among those that are remembered."""

_REMEMBERED = 10_000
_END = 1 << 64


@dataclass(frozen=True, slots=True)
class Parcel:
    """Records `seq` to `last`; `digest` is the SHA-256 of the payload, `at` where it stands."""

    seq: int
    count: int
    prev: bytes
    digest: bytes
    at: str

    @property
    def last(self) -> int:
        """The number of its last record."""
        return self.seq + self.count - 1

    @property
    def head(self) -> bytes:
        """The head of the chain behind it."""
        numbers = self.seq.to_bytes(8, "big") + self.count.to_bytes(8, "big")
        return sha256(self.prev + numbers + self.digest).digest()


@dataclass(slots=True)
class Gap:
    """Records `first` to `last` are not here; `head` stands before them and `prev` behind."""

    first: int
    last: int
    head: bytes
    prev: bytes | None = None


@dataclass(slots=True)
class Stream:
    """What is known of a stream. `problems` are what cannot be explained by loss alone."""

    name: str
    records: int = 0
    parcels: int = 0
    repeated: int = 0
    reordered: int = 0
    signed: int = 0
    problems: list[str] = field(default_factory=list)
    _gaps: list[Gap] = field(default_factory=list)
    _parcels: OrderedDict[int, Parcel] = field(default_factory=OrderedDict)
    _heads: OrderedDict[int, tuple[bytes, str]] = field(default_factory=OrderedDict)
    _begin: Parcel | None = None
    _searches: int = 0

    def __post_init__(self) -> None:
        self._gaps.append(Gap(1, _END, first_head(self.name)))

    @property
    def first(self) -> int:
        """The number of the first record that is here; 0 where there is none."""
        gap = self._gaps[0]
        if gap.last == _END and gap.first == 1:
            return 0
        return gap.last + 1 if gap.first == 1 else 1

    @property
    def last(self) -> int:
        """The number of the last record that is here; 0 where there is none."""
        return self._gaps[-1].first - 1 if self.records else 0

    @property
    def ahead(self) -> int:
        """How many records behind the last one the agent has signed, that are not here."""
        return max((last - self.last for last in self._heads), default=0) if self._heads else 0

    def missing(self) -> Iterator[tuple[int, int]]:
        """Yields the first and the last number of records that are missing between others."""
        for gap in self._gaps[:-1]:
            if gap.first > 1:
                yield gap.first, gap.last

    def begins_again(self, parcel: Parcel) -> bool:
        """Whether a parcel is another beginning of the stream than the one that is here."""
        begin = self._begin
        return (
            begin is not None
            and parcel.seq == 1
            and parcel.prev == begin.prev == first_head(self.name)
            and (parcel.count, parcel.digest) != (begin.count, begin.digest)
        )

    def again(self, parcel: Parcel) -> Stream:
        """Returns the stream as it begins again with a parcel, which is yet to be taken."""
        stream = Stream(self.name)
        stream.problems.append(
            f"the stream begins again with record 1 ({parcel.at}), after record {self.last:,}: the "
            "agent lost its state directory, or another one has its name; what was captured until "
            "then and had not come is not known"
        )
        return stream

    def take(self, parcel: Parcel) -> None:
        """Takes a parcel, whichever is the next."""
        self.parcels += 1
        place = bisect_right(self._gaps, parcel.seq, key=lambda gap: gap.first) - 1
        gap = self._gaps[place] if place >= 0 else None
        if gap is None or parcel.last > gap.last:
            self._again(parcel, place)
            return
        if parcel.seq == 1:
            self._begin = parcel
        if gap.last != _END:
            self.reordered += 1
        self.records += parcel.count
        self._fill(place, gap, parcel)
        self._remember(parcel)

    def promise(self, head: Head, where: str) -> None:
        """Takes a head that the agent signed."""
        self.signed += 1
        if head.last in self._parcels:
            self._compare(self._parcels[head.last], head.hash, where)
        elif head.last > self.last or any(a <= head.last <= b for a, b in self.missing()):
            self._heads[head.last] = (head.hash, where)
            if len(self._heads) > _REMEMBERED:
                self._heads.popitem(last=False)
        else:
            for parcel in self._parcels.values():
                if parcel.seq <= head.last < parcel.last:
                    self._compare(parcel, head.hash, where)

    def _fill(self, place: int, gap: Gap, parcel: Parcel) -> None:
        before = []
        if parcel.seq == gap.first:
            self._link(parcel, gap.head, parcel.prev, "the one before it")
        elif len(self._gaps) < MAX_GAPS or gap.last == _END:
            before = [Gap(gap.first, parcel.seq - 1, gap.head, parcel.prev)]
        after = []
        if parcel.last < gap.last:
            after = [Gap(parcel.last + 1, gap.last, parcel.head, gap.prev)]
        elif gap.prev is not None:
            self._link(parcel, parcel.head, gap.prev, "the one behind it")
        self._gaps[place : place + 1] = before + after

    def _link(self, parcel: Parcel, head: bytes, prev: bytes, which: str) -> None:
        if head != prev:
            self._problem(
                f"the parcel of records {parcel.seq:,} to {parcel.last:,} ({parcel.at}) is not "
                f"chained to {which}: head {head.hex()[:16]}, named {prev.hex()[:16]}"
            )

    def _again(self, parcel: Parcel, place: int) -> None:
        """A parcel of which at least a part is here already."""
        near = self._gaps[max(0, place) : place + 2]
        known = self._parcels.get(parcel.last) or self._cut_otherwise(parcel)
        if any(gap.first <= parcel.last and parcel.seq <= gap.last for gap in near):
            self._problem(
                f"the parcel of records {parcel.seq:,} to {parcel.last:,} ({parcel.at}) has some "
                "that are here in another parcel, and others that are not here"
            )
            return
        if known is None or (known.seq, known.digest) == (parcel.seq, parcel.digest):
            self.repeated += 1
            return
        self._problem(
            f"the parcel of records {parcel.seq:,} to {parcel.last:,} ({parcel.at}) is another "
            f"than that of {known.seq:,} to {known.last:,} ({known.at})"
        )

    def _cut_otherwise(self, parcel: Parcel) -> Parcel | None:
        """A parcel that is remembered and has the last record of this one, and more."""
        self._searches += 1
        if self._searches > MAX_SEARCHES:
            return None
        return next((p for p in self._parcels.values() if p.seq <= parcel.last < p.last), None)

    def _remember(self, parcel: Parcel) -> None:
        self._parcels[parcel.last] = parcel
        if len(self._parcels) > _REMEMBERED:
            self._parcels.popitem(last=False)
        for last in [last for last in self._heads if parcel.seq <= last <= parcel.last]:
            self._compare(parcel, *self._heads.pop(last))

    def _compare(self, parcel: Parcel, head: bytes, where: str) -> None:
        if parcel.head != head:
            self._problem(
                f"the agent signed another head ({where}) than the one that the records up to "
                f"{parcel.last:,} have here ({parcel.at})"
            )

    def _problem(self, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append("and more of the kind")
