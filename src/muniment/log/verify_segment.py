"""Verification of one segment: every byte is read, every hash recomputed.

A segment can be verified alone, in any order and in parallel, because its header holds the tree's
frontier; that the headers agree with the segments before them is checked by `verify`. Within a
segment, frames are read, unpacked and hashed ahead by threads; only the tree needs their order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from muniment import kernel
from muniment.errors import Corrupt
from muniment.log.disk import Disk
from muniment.log.frame import BatchId, Frame, Kind
from muniment.log.history import CheckpointFrame, check_signature
from muniment.log.note import Verifier
from muniment.log.report import Finding
from muniment.log.segment import (
    END,
    TRAILER,
    Place,
    SegmentHeader,
    read_frame,
    seal_payload,
    segment_first,
    walk,
)
from muniment.log.tiles import HASH


@dataclass(slots=True)
class SegmentCheck:
    """What one segment holds, up to the first thing that is wrong with it.

    `frontier` is the tree's at `size`; `signature`, of its last frame of entries, signs that tree.
    `tiles` are the hashes completed in it for tile levels 1, 2, ...; `roots` are the tree's roots
    at the sizes that were asked for.
    """

    path: Path
    first: int = 0
    start: bytes = b""
    after_failure: bool = False
    size: int = 0
    frontier: bytes = b""
    signature: bytes = b""
    length: int = 0
    sealed: bool = False
    tiles: list[list[bytes]] = field(default_factory=list)
    checkpoints: list[CheckpointFrame] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=dict)
    finding: Finding | None = None


def check_segment(
    disk: Disk,
    path: Path,
    verifier: Verifier,
    sizes: Sequence[int] = (),
    limit: int | None = None,
    threads: int = 1,
) -> SegmentCheck:
    """Reads and recomputes a whole segment; `limit` bounds the bytes of one being written."""
    check = SegmentCheck(path)
    try:
        _Scan(disk, check, verifier, sizes).run(limit, threads)
    except Corrupt as error:
        check.finding = Finding.of(error)
    except OSError as error:
        check.finding = Finding(str(path), f"cannot be read: {error.strerror or error}")
    return check


_Loaded = tuple[Place, Frame, bytes]
"""A frame, where it stands, and the leaf hashes of its entries."""


class _Scan:
    """One pass over a segment; raises Corrupt at the first thing that is wrong."""

    def __init__(
        self, disk: Disk, check: SegmentCheck, verifier: Verifier, sizes: Sequence[int]
    ) -> None:
        self._disk = disk
        self._check = check
        self._path = check.path
        self._verifier = verifier
        self._sizes = sorted(sizes)
        self._places: list[tuple[int, int]] = []
        self._in_group = False

    def run(self, limit: int | None, threads: int) -> None:
        check = self._check
        self._read_header()
        end = self._disk.size(self._path)
        end = end if limit is None else min(end, limit)
        offset = self._header.length
        places = walk(self._disk, self._path, offset, end)
        for place, frame, leaves in _ahead(self._load, places, threads):
            self._check_group(place)
            if frame.first != check.size:
                self._wrong(place.offset, f"entry {check.size}", f"entry {frame.first}")
            if frame.kind is Kind.ENTRIES:
                self._read_entries(place, frame, leaves)
            elif frame.kind is Kind.CHECKPOINT:
                self._read_checkpoint(place, frame)
            else:
                self._read_seal(place, frame, end)
            offset = place.end
            check.length = offset
        if self._in_group:
            self._wrong(offset, "the rest of a group commit", "the end of the file")

    def _load(self, place: Place) -> _Loaded:
        """Reads a frame and hashes its entries: all that needs no frame before it."""
        frame = read_frame(self._disk, self._path, place)
        if frame.kind is not Kind.ENTRIES:
            return place, frame, b""
        try:
            return place, frame, kernel.leaf_hashes(frame.payload)
        except ValueError as error:
            self._wrong(place.offset, "packed entries", str(error))

    def _read_header(self) -> None:
        check = self._check
        self._header = header = SegmentHeader.read(self._disk, self._path)
        if header.origin != self._verifier.name:
            self._wrong(0, f"origin {self._verifier.name}", header.origin)
        if header.first != segment_first(self._path.name):
            self._wrong(0, f"the first index {self._path.stem}", str(header.first))
        check.first = check.size = header.first
        check.start = check.frontier = header.frontier
        check.after_failure = header.after_failure
        self._note_root(header.first, header.frontier)

    def _check_group(self, place: Place) -> None:
        if place.header.begins == self._in_group:
            self._wrong(place.offset, "group commits one after the other", "one inside another")
        self._in_group = not place.header.ends
        if place.header.kind is not Kind.ENTRIES and (self._in_group or place.header.count):
            self._wrong(place.offset, "a frame that is a group of its own", "part of another")

    def _read_entries(self, place: Place, frame: Frame, leaves: bytes) -> None:
        check = self._check
        found = len(leaves) // HASH
        if found != frame.count or not found:
            self._wrong(place.offset, f"{frame.count} entries", f"{found}")
        entries = kernel.unpack(frame.payload) if frame.ids else []
        for batch in frame.ids:
            self._check_id(place, frame, entries, batch)
        for size in self._sizes:
            if frame.first < size < frame.first + frame.count:
                part = leaves[: HASH * (size - frame.first)]
                self._note_root(size, kernel.extend(check.frontier, frame.first, part)[0])
        check.frontier, completed = kernel.extend(check.frontier, frame.first, leaves)
        self._check_root(place, frame)
        check_signature(self._path, place, frame, self._verifier)
        check.signature = frame.signature
        for level, hashes in enumerate(completed):
            if level == len(check.tiles):
                check.tiles.append([])
            check.tiles[level].append(hashes)
        check.size += frame.count
        self._note_root(check.size, check.frontier)
        self._places.append((frame.first, place.offset))

    def _check_id(self, place: Place, frame: Frame, entries: list[bytes], batch: BatchId) -> None:
        """The batch table is not under the tree: it must say what the entries' headers say."""
        index = batch.first - frame.first
        if not 0 <= index < len(entries) or not batch.count:
            self._wrong(place.offset, "a batch that begins in its frame", f"entry {batch.first}")
        expected = _batch_id(entries[index])
        if expected is not None and expected != batch.id:
            self._wrong(place.offset, f"batch id {expected!r} as in the entry", repr(batch.id))

    def _check_root(self, place: Place, frame: Frame) -> None:
        found = kernel.root(self._check.frontier)
        if found != frame.root:
            self._wrong(place.offset, f"root {frame.root.hex()}", found.hex())

    def _read_checkpoint(self, place: Place, frame: Frame) -> None:
        self._check_root(place, frame)
        checkpoint = CheckpointFrame.parse(self._path, place, frame.payload)
        checkpoint.check(self._verifier)
        self._check.checkpoints.append(checkpoint)

    def _read_seal(self, place: Place, frame: Frame, end: int) -> None:
        self._check_root(place, frame)
        expected = seal_payload(self._places)
        if frame.payload != expected:
            self._wrong(place.offset, "the index of the segment's frames", "another one")
        trailer = TRAILER.pack(END, place.offset)
        found = self._disk.read(self._path, place.end, max(end - place.end, 0) + 1)
        if found != trailer:
            self._wrong(place.end, f"the trailer {trailer.hex()}", found[:64].hex() or "nothing")
        self._check.sealed = True

    def _note_root(self, size: int, frontier: bytes) -> None:
        if size in self._sizes:
            self._check.roots[size] = kernel.root(frontier)

    def _wrong(self, offset: int, expected: str, found: str) -> NoReturn:
        raise Corrupt(str(self._path), offset, expected, found)


def _ahead(
    load: Callable[[Place], _Loaded], places: Iterable[Place], threads: int
) -> Iterator[_Loaded]:
    """Yields what `load` returns, in order; with several threads a few are loaded ahead."""
    if threads == 1:
        yield from map(load, places)
        return
    waiting: deque[Future[_Loaded]] = deque()
    with ThreadPoolExecutor(threads, "verify") as pool:
        try:
            for place in places:
                waiting.append(pool.submit(load, place))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
        except Corrupt as error:  # of the walk: what stands before it comes first
            broken: Corrupt | None = error
        else:
            broken = None
        while waiting:
            yield waiting.popleft().result()
    if broken is not None:
        raise broken


def _batch_id(entry: bytes) -> str | None:
    """Returns the batch id that an entry's receipt header gives: `<from> <id>`, or `<id>`."""
    try:
        header = json.loads(entry.partition(b"\n")[0])
        id_, sender = header.get("id"), header.get("from")
    except (ValueError, AttributeError, RecursionError):
        return None
    if id_ is None:
        return None
    return f"{id_}" if sender is None else f"{sender} {id_}"
