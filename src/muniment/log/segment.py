"""Segment files: the write-ahead log and the archive in one.

A segment is a header, then frames, then, once sealed, a seal frame and a trailer:

    magic      8  b"MUNISEG1"
    flags      1  bit 0: the segment before was given up after a failed write, and has no seal
    origin     2  length, then the origin's bytes
    first      8  index of the first entry
    frontier      the tree's right edge at `first`: 32 bytes for each bit set in `first`
    CRC        4  CRC-32C of all that

    trailer    8  b"MUNIEND1"
               8  offset of the seal frame

The seal frame's payload lists the frames that hold entries: index of the first entry (8), offset
in the file (4). Its root is the tree's root at the end of the segment. The frontier lets any
segment be verified alone. Numbers are unsigned and big-endian.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from muniment.errors import Corrupt
from muniment.kernel import crc32c
from muniment.log.disk import Disk
from muniment.log.frame import END as END
from muniment.log.frame import HEADER_BYTES, BadFrame, Frame, FrameHeader, Kind

MAGIC = b"MUNISEG1"
SUFFIX = ".seg"
TRAILER = Struct(">8sQ")

_ORIGIN = Struct(">8sBH")
_FIRST = Struct(">Q")
_CRC = Struct(">I")
_PLACE = Struct(">QI")
_MAX_HEADER = _ORIGIN.size + 0xFFFF + _FIRST.size + 64 * 32 + _CRC.size


def segment_name(first: int) -> str:
    """Returns the file name of the segment that begins with entry `first`."""
    return f"{first:020d}{SUFFIX}"


def segment_first(name: str) -> int | None:
    """Returns the first index that a segment's file name states, or None for other files."""
    stem = name.removesuffix(SUFFIX)
    if stem == name or len(stem) != 20 or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem)


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Where a segment stands: its log's origin, its first index, the tree's frontier there.

    `after_failure` says that the segment before has no seal because the disk failed it; without
    that, a missing seal would be unseen.
    """

    origin: str
    first: int
    frontier: bytes
    after_failure: bool = False

    def encode(self) -> bytes:
        """Returns the header's bytes."""
        origin = self.origin.encode()
        start = _ORIGIN.pack(MAGIC, self.after_failure, len(origin))
        data = b"".join((start, origin, _FIRST.pack(self.first), self.frontier))
        return data + _CRC.pack(crc32c(data))

    @property
    def length(self) -> int:
        """Bytes of the encoded header."""
        rest = _FIRST.size + len(self.frontier) + _CRC.size
        return _ORIGIN.size + len(self.origin.encode()) + rest

    @classmethod
    def read(cls, disk: Disk, path: Path) -> SegmentHeader:
        """Raises Corrupt where the file does not begin with a whole, valid header."""
        data = disk.read(path, 0, _MAX_HEADER)
        if len(data) < _ORIGIN.size or data[: len(MAGIC)] != MAGIC:
            raise Corrupt(str(path), 0, f"segment magic {MAGIC!r}", repr(data[: len(MAGIC)]))
        _, flags, length = _ORIGIN.unpack_from(data)
        place = _ORIGIN.size + length
        if len(data) < place + _FIRST.size:
            raise Corrupt(str(path), 0, "a whole segment header", f"{len(data)} bytes")
        (first,) = _FIRST.unpack_from(data, place)
        end = place + _FIRST.size + 32 * first.bit_count()
        if len(data) < end + _CRC.size:
            raise Corrupt(str(path), 0, "a whole segment header", f"{len(data)} bytes")
        stated, found = _CRC.unpack_from(data, end)[0], crc32c(data[:end])
        if stated != found:
            raise Corrupt(str(path), 0, f"segment header CRC {stated:08x}", f"{found:08x}")
        if flags > 1:
            raise Corrupt(str(path), len(MAGIC), "known flags", str(flags))
        try:
            origin = data[_ORIGIN.size : place].decode()
        except UnicodeDecodeError as error:
            raise Corrupt(str(path), 0, "an origin in UTF-8", str(error)) from error
        return cls(origin, first, data[place + _FIRST.size : end], bool(flags))


@dataclass(frozen=True, slots=True)
class Place:
    """A frame's header and the byte at which the frame begins in its file."""

    offset: int
    header: FrameHeader

    @property
    def end(self) -> int:
        """The byte after the frame."""
        return self.offset + self.header.length


def walk(disk: Disk, path: Path, offset: int, end: int) -> Iterator[Place]:
    """Yields the frames in [offset, end) by their headers alone; bodies are not read.

    Raises Corrupt at the first byte that begins no whole frame.
    """
    while offset < end:
        try:
            header = FrameHeader.parse(disk.read(path, offset, HEADER_BYTES))
        except BadFrame as error:
            raise Corrupt(str(path), offset, error.expected, error.found) from error
        place = Place(offset, header)
        if place.end > end:
            raise Corrupt(
                str(path), offset, f"a frame of {header.length} bytes", f"{end - offset} bytes"
            )
        yield place
        if header.kind is Kind.SEAL:
            return
        offset = place.end


def read_frame(disk: Disk, path: Path, place: Place) -> Frame:
    """Returns the whole frame at `place`. Raises Corrupt where its body does not verify."""
    body = disk.read(path, place.offset + HEADER_BYTES, place.header.body)
    try:
        return Frame.decode(place.header, body)
    except BadFrame as error:
        raise Corrupt(str(path), place.offset, error.expected, error.found) from error


def seal_payload(places: Sequence[tuple[int, int]]) -> bytes:
    """Encodes a segment's frame index: (first entry, offset) for each frame of entries."""
    return b"".join(_PLACE.pack(first, offset) for first, offset in places)


def parse_seal(payload: bytes) -> list[tuple[int, int]]:
    """Decodes a frame index. Raises BadFrame where it is cut short."""
    if len(payload) % _PLACE.size:
        raise BadFrame(f"a multiple of {_PLACE.size} bytes", f"{len(payload)} bytes")
    return list(_PLACE.iter_unpack(payload))


def seal_place(disk: Disk, path: Path) -> Place | None:
    """Returns where a sealed segment's seal frame stands, or None for one that is not sealed.

    Raises Corrupt where the trailer names a place that holds no seal.
    """
    size = disk.size(path)
    trailer = disk.read(path, max(0, size - TRAILER.size), TRAILER.size)
    if len(trailer) < TRAILER.size or not trailer.startswith(END):
        return None
    _, offset = TRAILER.unpack(trailer)
    for place in walk(disk, path, offset, size - TRAILER.size):
        if place.header.kind is Kind.SEAL and place.end == size - TRAILER.size:
            return place
        break
    raise Corrupt(str(path), size - TRAILER.size, "the offset of the seal frame", str(offset))
