"""Where the entries of a shard are, for readers: in which segment, and in which of its frames.

The frames are known from a segment's seal, or as far as it was walked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from muniment.errors import Corrupt
from muniment.log.disk import Disk
from muniment.log.frame import BadFrame, Frame, Kind
from muniment.log.history import segment_names
from muniment.log.segment import (
    SegmentHeader,
    parse_seal,
    read_frame,
    seal_place,
    segment_first,
    segment_name,
    walk,
)

_KEPT_SEGMENTS = 64


@dataclass(slots=True)
class WalkedSegment:
    """First indexes and offsets of the frames with entries before `offset`.

    `size` is that of the tree there. Belongs to one thread at a time, but for `frame`.
    """

    path: Path
    offset: int
    size: int
    firsts: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, disk: Disk, path: Path, first: int) -> WalkedSegment:
        """Reads the header, and the seal where there is one. Raises Corrupt, OSError."""
        header = SegmentHeader.read(disk, path)
        if header.first != first:
            raise Corrupt(str(path), 0, f"a segment from entry {first}", f"from {header.first}")
        segment = cls(path, header.length, first)
        seal = seal_place(disk, path)
        if seal is not None:
            try:
                places = parse_seal(read_frame(disk, path, seal).payload)
            except BadFrame as error:
                raise Corrupt(str(path), seal.offset, error.expected, error.found) from error
            segment.firsts = [place[0] for place in places]
            segment.offsets = [place[1] for place in places]
            segment.offset, segment.size = seal.offset, seal.header.size
        return segment

    def walk_on(self, disk: Disk, index: int) -> None:
        """Walks the frames that were written since, up to the one that holds `index`.

        Raises Corrupt where there is none, OSError.
        """
        for place in walk(disk, self.path, self.offset, disk.size(self.path)):
            if place.header.kind is Kind.ENTRIES:
                self.firsts.append(place.header.first)
                self.offsets.append(place.offset)
            self.offset, self.size = place.end, place.header.size
            if self.size > index:
                return
        raise Corrupt(str(self.path), self.offset, f"entry {index}", "the end of the file")

    def place(self, index: int) -> int:
        """The offset of the frame that holds an entry."""
        return self.offsets[bisect_right(self.firsts, index) - 1]

    def frame(self, disk: Disk, offset: int, index: int) -> Frame:
        """Reads the frame at an offset. Raises Corrupt where it does not hold `index`, OSError."""
        found = next(walk(disk, self.path, offset, self.offset))
        frame = read_frame(disk, self.path, found)
        if frame.kind is not Kind.ENTRIES or not 0 <= index - frame.first < frame.count:
            raise Corrupt(str(self.path), offset, f"entry {index}", f"from {frame.first}")
        return frame

    def commit_end(self, disk: Disk, index: int) -> tuple[int, bytes]:
        """Returns size and root of the tree after the group commit that holds an entry."""
        for found in walk(disk, self.path, self.place(index), disk.size(self.path)):
            if found.header.ends:
                return found.header.size, found.header.root
        raise Corrupt(str(self.path), self.offset, "the end of a group commit", "none")


class WalkedSegments:
    """The segments of a shard's directory, those used last kept. For one thread at a time."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._directory = disk, directory
        self._starts: list[int] = []
        self._kept: OrderedDict[int, WalkedSegment] = OrderedDict()

    def of(self, index: int, refresh: Callable[[], int]) -> WalkedSegment | None:
        """Returns the segment that holds an entry, its frames walked at least that far.

        `refresh` returns the first entry that has not expired; segments below it are left out.
        None where no segment begins so early. Raises Corrupt, OSError.
        """
        number = bisect_right(self._starts, index) - 1
        if number < 0 or number == len(self._starts) - 1:
            known = self._kept.get(self._starts[number]) if self._starts else None
            if known is None or index >= known.size:
                self._list(refresh)
                number = bisect_right(self._starts, index) - 1
        if number < 0:
            return None
        segment = self._beginning_with(self._starts[number])
        if index >= segment.size:
            segment.walk_on(self._disk, index)
        return segment

    def forget(self, minimum: int) -> None:
        """Drops the segments that begin below an index."""
        for start in [start for start in self._kept if start < minimum]:
            del self._kept[start]
        self._starts = [start for start in self._starts if start >= minimum]

    def _list(self, refresh: Callable[[], int]) -> None:
        names = segment_names(self._disk, self._directory)
        firsts = (segment_first(name) for name in names)
        minimum = refresh()
        self._starts = [first for first in firsts if first is not None and first >= minimum]

    def _beginning_with(self, first: int) -> WalkedSegment:
        segment = self._kept.get(first)
        if segment is None:
            path = self._directory / segment_name(first)
            segment = WalkedSegment.open(self._disk, path, first)
        self._kept[first] = segment
        self._kept.move_to_end(first)
        while len(self._kept) > _KEPT_SEGMENTS:
            self._kept.popitem(last=False)
        return segment
