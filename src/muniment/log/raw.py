"""The bytes of a shard's segments as they stand in the files, up to the last durable one.

What a failed or torn write may have left behind the last durable group commit is never shown: it
may be cut off again, and other bytes come in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from muniment.errors import Expired, NoSuchEntry
from muniment.log.disk import Disk
from muniment.log.history import segment_names
from muniment.log.segment import segment_first, segment_name
from muniment.log.tail import Tail


@dataclass(frozen=True, slots=True)
class End:
    """Where a shard's durable bytes end: at `offset` in the segment that begins with `segment`.

    With an `offset` of 0 that segment is not there yet, and all before it have ended.
    """

    segment: int
    offset: int

    @classmethod
    def of(cls, tail: Tail) -> End:
        """Returns where a log ends that another thread may be writing."""
        while True:
            before = (tail.size, tail.segment, tail.offset)
            if before == (tail.size, tail.segment, tail.offset):
                break
        size, segment, offset = before
        return cls(size, 0) if segment is None else cls(segment.first, offset)


@dataclass(frozen=True, slots=True)
class RawSegment:
    """A segment: its first entry, its durable bytes, and whether no more will come."""

    first: int
    length: int
    ended: bool


class RawSegments:
    """The segments of a shard up to an `end`; for any thread."""

    def __init__(self, directory: Path, disk: Disk, end: End, minimum: int) -> None:
        self.end, self.minimum = end, minimum
        self._directory, self._disk = directory, disk

    def all(self) -> list[RawSegment]:
        """Returns the segments that are there, in order. Raises OSError."""
        names = segment_names(self._disk, self._directory)
        firsts = [first for name in names if (first := segment_first(name)) is not None]
        there = [first for first in firsts if self.minimum <= first <= self.end.segment]
        if not self.end.offset:
            there = [first for first in there if first != self.end.segment]
        return [self.segment(first) for first in there]

    def segment(self, first: int) -> RawSegment:
        """Returns the segment that begins with an entry; the one to come is there, and empty.

        Raises Expired below the minimum, NoSuchEntry where none begins there, OSError.
        """
        if first == self.end.segment:
            return RawSegment(first, self.end.offset, False)
        if first < self.minimum:
            raise Expired(f"entry {first} has expired: entry {self.minimum} is the first one kept")
        if first < self.end.segment:
            try:
                return RawSegment(first, self._disk.size(self._path(first)), True)
            except FileNotFoundError:
                pass
        raise NoSuchEntry(f"no segment begins with entry {first}")

    def read(self, segment: RawSegment, offset: int, length: int) -> bytes:
        """Returns up to `length` bytes from `offset`, fewer only where the segment ends.

        Raises OSError; of an evicted segment what its store raises.
        """
        most = min(length, segment.length - offset)
        return self._disk.read(self._path(segment.first), offset, most) if most > 0 else b""

    def _path(self, first: int) -> Path:
        return self._directory / segment_name(first)
