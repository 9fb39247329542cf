"""The segment files of a spool, oldest first: read frame by frame, found again after a crash.

A frame that is damaged costs itself: the next one begins where its length says, or where a note
begins whose frame has the right checksum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from muniment.capture.spool.frames import BEGIN, NOTE, PREFIX, Frame, body_length, decode
from muniment.errors import Corrupt
from muniment.log.disk import Disk

_NAME = re.compile(r"(\d{12})\.parcels")
_BEFORE_NOTE = PREFIX + 4
_SEARCHED = 8
"""How many times the bytes of a segment are read at most to find a sound frame in it."""


@dataclass(slots=True)
class Segment:
    """A file of the spool; `size` is as far as it is durable."""

    number: int
    path: Path
    size: int = len(BEGIN)


def name_of(number: int) -> str:
    """Returns the file name of a segment."""
    return f"{number:012d}.parcels"


def find_segments(disk: Disk, directory: Path) -> list[Segment]:
    """Returns the segments of a directory with the sizes that their files have."""
    numbers = [int(m[1]) for name in disk.names(directory) if (m := _NAME.fullmatch(name))]
    paths = [directory / name_of(number) for number in sorted(numbers)]
    return [
        Segment(number, path, disk.size(path))
        for number, path in zip(sorted(numbers), paths, strict=True)
    ]


def read_frame(disk: Disk, segment: Segment, at: int) -> tuple[Frame, int]:
    """Returns the frame at an offset and the offset after it. Raises Corrupt and OSError."""
    file = segment.path.name
    prefix = disk.read(segment.path, at, PREFIX)
    length = body_length(prefix, file, at)
    if at + PREFIX + length > segment.size:
        raise Corrupt(file, at, f"a frame of {length:,} bytes", "the end of the file")
    body = disk.read(segment.path, at + PREFIX, length)
    return decode(prefix, body, file, at), at + PREFIX + length


def frames(
    disk: Disk, segment: Segment, damaged: Callable[[Corrupt], None] = lambda _: None
) -> Iterator[tuple[Frame, int]]:
    """Yields the frames of a segment with the offset after each.

    `damaged` is told of what is passed over between others; what is no frame at the end is not
    told: a crash leaves it there. Raises OSError.
    """
    at = len(BEGIN)
    error: Corrupt | None = None
    if disk.read(segment.path, 0, at) != BEGIN:
        error = Corrupt(segment.path.name, 0, "the beginning of a segment", "something else")
        at = next_frame(disk, segment, 0)
    while at < segment.size:
        try:
            frame, end = read_frame(disk, segment, at)
        except Corrupt as found:
            error, at = error or found, next_frame(disk, segment, at)
            continue
        if error is not None:
            damaged(error)
            error = None
        yield frame, end
        at = end


def next_frame(disk: Disk, segment: Segment, at: int) -> int:
    """Returns where the next sound frame behind a damaged one begins; the end where none does.

    Raises OSError.
    """
    data = disk.read(segment.path, at, segment.size - at)
    after = PREFIX + int.from_bytes(data[:4], "big")
    if after < len(data) and _is_frame(data, after):
        return at + after
    left = _SEARCHED * len(data)
    place = data.find(NOTE, _BEFORE_NOTE)
    while place >= 0 and left > 0:
        begin = place - _BEFORE_NOTE
        if _is_frame(data, begin):
            return at + begin
        left -= min(int.from_bytes(data[begin : begin + 4], "big"), len(data))
        place = data.find(NOTE, place + 1)
    return segment.size


def _is_frame(data: bytes, at: int) -> bool:
    prefix = data[at : at + PREFIX]
    try:
        begin = at + PREFIX
        decode(prefix, data[begin : begin + body_length(prefix, "", at)], "", at)
    except Corrupt:
        return False
    return True


def cut(disk: Disk, segment: Segment, size: int) -> None:
    """Cuts what a crash left behind the last whole put; durable when it returns. Raises OSError."""
    file = disk.append(segment.path)
    try:
        file.truncate(size)
        file.sync()
    finally:
        file.close()
    segment.size = size
