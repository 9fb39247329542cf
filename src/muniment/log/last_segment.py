"""The last segment as a crash may leave it: which group commits in it are whole.

What is broken may be a torn write only in the very last group commit: each is written after the one
before it was synced. So where another begins behind something broken, that is damage.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from muniment.errors import Corrupt
from muniment.log.disk import Disk
from muniment.log.frame import HEADER_BYTES, MAGIC, BadFrame, FrameHeader, Kind
from muniment.log.history import segment_names
from muniment.log.note import Verifier
from muniment.log.segment import END, TRAILER, Place, SegmentHeader, read_frame, walk


@dataclass(frozen=True, slots=True)
class LastSegment:
    """The last segment: the frames of its whole groups, where they end, and the file's size."""

    path: Path
    header: SegmentHeader
    places: list[Place]
    size: int

    @property
    def end(self) -> int:
        """The byte after the last whole group."""
        return self.places[-1].end if self.places else self.header.length

    @property
    def sealed(self) -> bool:
        """Whether the segment ends with a whole seal."""
        return bool(self.places) and self.places[-1].header.kind is Kind.SEAL


def last_segment(disk: Disk, directory: Path) -> LastSegment | None:
    """Finds the last segment that was begun, and removes one whose header was never whole."""
    for name in reversed(segment_names(disk, directory)):
        path = directory / name
        try:
            header = SegmentHeader.read(disk, path)
        except Corrupt:
            if MAGIC in disk.read(path):
                raise
            disk.remove(path)
            disk.sync_directory(directory)
            continue
        return LastSegment(path, header, _whole_groups(disk, path, header), disk.size(path))
    return None


def _whole_groups(disk: Disk, path: Path, header: SegmentHeader) -> list[Place]:
    """Returns the frames up to the end of the last group commit that is whole.

    Raises Corrupt where something valid follows what is broken: a torn write stands at the end.
    """
    size = disk.size(path)
    places: list[Place] = []
    groups = [0]
    try:
        for place in walk(disk, path, header.length, size):
            places.append(place)
            if place.header.ends:
                groups.append(len(places))
    except Corrupt as error:
        if _group_after(disk, path, error.offset, size):
            raise
    del places[groups[-1] :]
    if not places:
        return places
    last = places[groups[-2] :]
    if last[-1].header.kind is Kind.SEAL:
        whole = _trailer_is_whole(disk, path, last[-1], size) and _bodies_are_whole(
            disk, path, last
        )
    else:
        whole = last[-1].end < size or _bodies_are_whole(disk, path, last)
    return places if whole else places[: groups[-2]]


def _bodies_are_whole(disk: Disk, path: Path, places: list[Place]) -> bool:
    try:
        for place in places:
            read_frame(disk, path, place)
    except Corrupt:
        return False
    return True


def _trailer_is_whole(disk: Disk, path: Path, seal: Place, size: int) -> bool:
    """Whether a seal's trailer follows. Raises Corrupt where something else does."""
    expected = TRAILER.pack(END, seal.offset)
    found = disk.read(path, seal.end, size - seal.end)
    if not could_be_torn(found, expected):
        raise Corrupt(str(path), seal.end, f"the trailer {expected.hex()}", found[:32].hex())
    return found == expected


def could_be_torn(found: bytes, whole: bytes) -> bool:
    """Whether a write of `whole` can have left this: a beginning, zeros where pages were lost."""
    pairs = zip(found, whole, strict=False)
    return len(found) <= len(whole) and all(a in (0, b) for a, b in pairs)


def _group_after(disk: Disk, path: Path, offset: int, size: int) -> bool:
    """Whether another group commit begins later: then all before it was once synced.

    Nothing begins after a frame that goes beyond the end of the file: that is torn, and what
    looks like a frame inside it was put there by a sender.
    """
    data = disk.read(path, offset, size - offset)
    with suppress(BadFrame):
        if FrameHeader.parse(data).length > len(data):
            return False
    at = data.find(MAGIC, 1)
    while at >= 0:
        with suppress(BadFrame):
            if FrameHeader.parse(data[at : at + HEADER_BYTES]).begins:
                return True
        at = data.find(MAGIC, at + 1)
    return False


def check_place(segment: LastSegment, verifier: Verifier) -> None:
    """Raises Corrupt unless a segment's header names this log, and its file its first entry."""
    header, path = segment.header, segment.path
    if header.origin != verifier.name:
        raise Corrupt(str(path), 0, f"origin {verifier.name}", header.origin)
    if int(path.stem) != header.first:
        raise Corrupt(str(path), 0, f"the first index {path.stem}", f"{header.first}")
