"""Reading a shard back: entries, runs for followers, tiles, entry bundles, proofs.

A reader needs nothing but the files, so that followers in other processes use it too. It sees
entries up to the size it was told with `advance`, which whoever writes calls after a sync.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from muniment import kernel
from muniment.errors import Corrupt, NoSuchEntry
from muniment.log.disk import Disk, PosixDisk
from muniment.log.frame import BadFrame, Frame, Kind
from muniment.log.history import segment_names
from muniment.log.merkle import consistency_proof, inclusion_proof
from muniment.log.segment import (
    SegmentHeader,
    parse_seal,
    read_frame,
    seal_place,
    segment_first,
    segment_name,
    walk,
)
from muniment.log.tiles import DIRECTORY, HASH, WIDTH

_KEPT_PAYLOADS = 4
_KEPT_TILES = 512
_KEPT_SEGMENTS = 64


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries: `entries[0]` has the index `first`."""

    first: int
    entries: list[bytes]


@dataclass(frozen=True, slots=True)
class PackedRun:
    """Consecutive entries as (uint16 big-endian length || entry)*; the first has index `first`."""

    first: int
    count: int
    payload: bytes


@dataclass(slots=True)
class _Segment:
    """What is known of a segment's frames: first indexes and offsets, as far as walked."""

    path: Path
    offset: int
    size: int
    firsts: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


class ShardReader:
    """Reads a shard's directory. Safe for several threads."""

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self._directory = directory
        self._disk = disk or PosixDisk()
        self._lock = RLock()
        self._size = 0
        self._starts: list[int] = []
        self._segments: OrderedDict[int, _Segment] = OrderedDict()
        self._payloads: OrderedDict[tuple[Path, int], tuple[int, list[bytes]]] = OrderedDict()
        self._tiles: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    @property
    def size(self) -> int:
        """Entries that can be read."""
        return self._size

    def advance(self, size: int) -> None:
        """Tells that the first `size` entries are durable."""
        self._size = max(self._size, size)

    def entry(self, index: int) -> bytes:
        """Returns an entry's bytes. Raises NoSuchEntry, or Corrupt where they do not verify."""
        if not 0 <= index < self._size:
            raise NoSuchEntry(f"entry {index} is not in a shard of {self._size} entries")
        first, entries = self._frame_of(index)
        return entries[index - first]

    def read(self, start: int, max_entries: int = 65_536, max_bytes: int = 8 << 20) -> Run:
        """Returns entries from `start`, at least one where there is one, within the bounds."""
        entries: list[bytes] = []
        total = 0
        stop = min(self._size, start + max_entries)
        while start + len(entries) < stop and total < max_bytes:
            index = start + len(entries)
            first, frame = self._frame_of(index)
            for entry in frame[index - first : stop - first]:
                if entries and total + len(entry) > max_bytes:
                    return Run(start, entries)
                entries.append(entry)
                total += len(entry)
        return Run(start, entries)

    def packed(self, start: int) -> PackedRun:
        """Returns the entries from `start` to the end of their frame, as they are packed.

        Raises NoSuchEntry beyond the end, Corrupt where the frame does not verify.
        """
        if not 0 <= start < self._size:
            raise NoSuchEntry(f"entry {start} is not in a shard of {self._size} entries")
        segment, offset = self._find(start)
        frame = self._read_frame(segment, offset, start)
        skipped = start - frame.first
        return PackedRun(start, frame.count - skipped, _without(frame.payload, skipped))

    def entry_bundle(self, number: int, width: int = WIDTH) -> bytes:
        """Returns the tlog-tiles entry bundle of a level-0 tile: (uint16 length || entry)*."""
        run = self._tile_entries(number, width)
        return b"".join([len(entry).to_bytes(2, "big") + entry for entry in run])

    def tile(self, level: int, number: int, width: int = WIDTH) -> bytes:
        """Returns the hashes of a tile, 32 bytes each. Raises NoSuchEntry where it is not yet."""
        there = self._size >> 8 * level
        if number * WIDTH + width > there:
            raise NoSuchEntry(f"tile {level}/{number} of {width} hashes is not complete yet")
        with self._lock:
            known = self._tiles.get((level, number), b"")
            if len(known) >= width * HASH:
                self._tiles.move_to_end((level, number))
                return known[: width * HASH]
        whole = min(WIDTH, there - number * WIDTH)
        hashes = self._read_tile(level, number, whole)
        with self._lock:
            self._tiles[level, number] = hashes
            while len(self._tiles) > _KEPT_TILES:
                self._tiles.popitem(last=False)
        return hashes[: width * HASH]

    def _read_tile(self, level: int, number: int, width: int) -> bytes:
        if level == 0:
            return kernel.leaf_hashes(self.entry_bundle(number, width))
        path = self._directory / DIRECTORY / str(level)
        offset = number * WIDTH * HASH
        data = self._disk.read(path, offset, width * HASH)
        if len(data) != width * HASH:
            raise Corrupt(str(path), offset, f"{width * HASH} bytes of hashes", f"{len(data)}")
        return data

    def subtree(self, level: int, number: int) -> bytes:
        """Returns the root of a perfect subtree; see `merkle.Subtree`."""
        tile_level, height = divmod(level, 8)
        first = number << height
        last = first % WIDTH + (1 << height)
        hashes = self.tile(tile_level, first // WIDTH, last)[first % WIDTH * HASH :]
        return kernel.root(kernel.extend(b"", 0, hashes)[0])

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Returns the audit path of an entry in the tree of `size` (RFC 6962 2.1.1)."""
        if not 0 <= index < size <= self._size:
            raise NoSuchEntry(f"entry {index} is not in a tree of {size} entries")
        return inclusion_proof(index, size, self.subtree)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Returns the proof that tree `old` is a prefix of tree `new` (RFC 6962 2.1.2)."""
        if not 0 <= old <= new <= self._size:
            raise NoSuchEntry(f"trees of {old} and {new} are not in one of {self._size} entries")
        return consistency_proof(old, new, self.subtree)

    def root_after(self, index: int) -> tuple[int, bytes]:
        """Returns size and root of the tree after the group commit that holds an entry."""
        with self._lock:
            segment = self._segment_of(index)
            place = bisect_right(segment.firsts, index) - 1
            end = self._disk.size(segment.path)
            for found in walk(self._disk, segment.path, segment.offsets[place], end):
                if found.header.ends:
                    return found.header.size, found.header.root
        raise Corrupt(str(segment.path), segment.offset, "the end of a group commit", "none")

    def _tile_entries(self, number: int, width: int) -> list[bytes]:
        start = number * WIDTH
        if start + width > self._size:
            raise NoSuchEntry(f"entries {start} to {start + width - 1} are not all there yet")
        entries: list[bytes] = []
        while len(entries) < width:
            entries += self.read(start + len(entries), width - len(entries)).entries
        return entries

    def _frame_of(self, index: int) -> tuple[int, list[bytes]]:
        """Returns the first index and the entries of the frame that holds `index`."""
        segment, offset = self._find(index)
        key = (segment.path, offset)
        with self._lock:
            known = self._payloads.get(key)
            if known is not None:
                self._payloads.move_to_end(key)
                return known
        frame = self._read_frame(segment, offset, index)
        try:
            entries = kernel.unpack(frame.payload)
        except ValueError as error:
            raise Corrupt(str(segment.path), offset, "packed entries", str(error)) from error
        if len(entries) != frame.count:
            raise Corrupt(str(segment.path), offset, f"{frame.count} entries", f"{len(entries)}")
        with self._lock:
            self._payloads[key] = (frame.first, entries)
            while len(self._payloads) > _KEPT_PAYLOADS:
                self._payloads.popitem(last=False)
        return frame.first, entries

    def _find(self, index: int) -> tuple[_Segment, int]:
        """Returns the segment that holds an entry, and the offset of the frame."""
        with self._lock:
            segment = self._segment_of(index)
            return segment, segment.offsets[bisect_right(segment.firsts, index) - 1]

    def _read_frame(self, segment: _Segment, offset: int, index: int) -> Frame:
        place = next(walk(self._disk, segment.path, offset, segment.offset))
        frame = read_frame(self._disk, segment.path, place)
        if frame.kind is not Kind.ENTRIES or not 0 <= index - frame.first < frame.count:
            raise Corrupt(str(segment.path), offset, f"entry {index}", f"from {frame.first}")
        return frame

    def _segment_of(self, index: int) -> _Segment:
        """Returns the segment that holds `index`, its frames walked at least that far."""
        number = bisect_right(self._starts, index) - 1
        if number == len(self._starts) - 1:
            known = self._segments.get(self._starts[number]) if self._starts else None
            if known is None or index >= known.size:
                self._list_segments()
                number = bisect_right(self._starts, index) - 1
        if number < 0:
            raise Corrupt(str(self._directory), 0, f"a segment with entry {index}", "none")
        first = self._starts[number]
        segment = self._segments.get(first)
        if segment is None:
            segment = self._open(self._directory / segment_name(first), first)
        self._segments[first] = segment
        self._segments.move_to_end(first)
        while len(self._segments) > _KEPT_SEGMENTS:
            self._segments.popitem(last=False)
        if index >= segment.size:
            self._walk_on(segment, index)
        return segment

    def _list_segments(self) -> None:
        names = segment_names(self._disk, self._directory)
        firsts = (segment_first(name) for name in names)
        self._starts = [first for first in firsts if first is not None]

    def _open(self, path: Path, first: int) -> _Segment:
        header = SegmentHeader.read(self._disk, path)
        if header.first != first:
            raise Corrupt(str(path), 0, f"a segment from entry {first}", f"from {header.first}")
        segment = _Segment(path, header.length, first)
        seal = seal_place(self._disk, path)
        if seal is not None:
            try:
                places = parse_seal(read_frame(self._disk, path, seal).payload)
            except BadFrame as error:
                raise Corrupt(str(path), seal.offset, error.expected, error.found) from error
            segment.firsts = [place[0] for place in places]
            segment.offsets = [place[1] for place in places]
            segment.offset, segment.size = seal.offset, seal.header.size
        return segment

    def _walk_on(self, segment: _Segment, index: int) -> None:
        """Walks the frames that were written since, up to the one that holds `index`."""
        end = self._disk.size(segment.path)
        for place in walk(self._disk, segment.path, segment.offset, end):
            if place.header.kind is Kind.ENTRIES:
                segment.firsts.append(place.header.first)
                segment.offsets.append(place.offset)
            segment.offset, segment.size = place.end, place.header.size
            if segment.size > index:
                return
        raise Corrupt(str(segment.path), segment.offset, f"entry {index}", "the end of the file")


def _without(payload: bytes, entries: int) -> bytes:
    """Returns a packed payload without its first entries."""
    offset = 0
    for _ in range(entries):
        offset += 2 + int.from_bytes(payload[offset : offset + 2], "big")
    return payload[offset:]
