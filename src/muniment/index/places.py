"""Where the batches of a shard stand that came with an id: a bounded memory of the newest."""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from muniment.errors import MunimentError
from muniment.log.disk import PosixDisk
from muniment.log.frame import HEADER_BYTES, BadFrame, BatchId, FrameHeader, Kind, parse_batch_table
from muniment.log.history import segment_names
from muniment.log.segment import SegmentHeader, segment_first

_FREE = (1 << 64) - 1
_SLOTS = 256
_SECRET = os.urandom(16)
_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A batch by the index of its first entry, and how many entries it has."""

    first: int
    entries: int


def key_of(id_: str) -> int:
    """Returns 64 bits that stand for an id in this process; nobody outside can make two alike."""
    return int.from_bytes(blake2b(id_.encode(), digest_size=8, key=_SECRET).digest(), "big")


class Places:
    """Places by key: the newest `most` at least, and at most twice as many."""

    def __init__(self) -> None:
        self._young, self._old = _Table(), _Table()

    def add(self, key: int, place: Place, most: int) -> None:
        """Notes a place as the newest one."""
        if self._young.count >= most:
            self._young, self._old = _Table(), self._young
        self._young.add(key, place)

    def add_older(self, key: int, place: Place) -> None:
        """Notes a place as older than those that `add` notes from now on."""
        self._old.add(key, place)

    def find(self, key: int) -> list[Place]:
        """Returns the places that are known under a key."""
        return self._old.find(key) + self._young.find(key)


class _Table:
    """A hash table in three arrays: a dictionary of so many objects would take five times as much.

    A key may stand in it several times.
    """

    def __init__(self) -> None:
        self.count = 0
        self._make(_SLOTS)

    def _make(self, slots: int) -> None:
        self._mask = slots - 1
        self._keys = array("Q", bytes(8 * slots))
        self._firsts = array("Q", b"\xff" * (8 * slots))
        self._counts = array("I", bytes(4 * slots))

    def add(self, key: int, place: Place) -> None:
        if 3 * self.count >= 2 * self._mask:
            self._grow()
        self._put(key, *place)
        self.count += 1

    def _put(self, key: int, first: int, count: int) -> None:
        firsts, mask = self._firsts, self._mask
        slot = key & mask
        while firsts[slot] != _FREE:
            slot = slot + 1 & mask
        self._keys[slot], firsts[slot], self._counts[slot] = key, first, count

    def _grow(self) -> None:
        known = zip(self._keys, self._firsts, self._counts, strict=True)
        self._make(2 * (self._mask + 1))
        for key, first, count in known:
            if first != _FREE:
                self._put(key, first, count)

    def find(self, key: int) -> list[Place]:
        found = []
        keys, firsts, mask = self._keys, self._firsts, self._mask
        slot = key & mask
        while firsts[slot] != _FREE:
            if keys[slot] == key:
                found.append(Place(firsts[slot], self._counts[slot]))
            slot = slot + 1 & mask
        return found


def recall(directory: Path, stop: int, most: int, stopping: Callable[[], bool]) -> Places:
    """Returns the places of a shard's newest batches that begin before entry `stop`.

    They are read from the headers of the newest frames in the segments that are on the disk: from
    `most` frames at least, where there are so many. What cannot be read ends it, on record.
    """
    places = Places()
    frames = 0
    try:
        names = segment_names(PosixDisk(), directory) if directory.is_dir() else []
        for name in reversed(names):
            if (segment_first(name) or 0) >= stop:
                continue
            if frames >= most or stopping():
                break
            for batches in _frames(directory / name, stop):
                frames += 1
                for batch in batches:
                    places.add_older(key_of(batch.id), Place(batch.first, batch.count))
    except (MunimentError, OSError, BadFrame) as error:
        _log.warning("%s: the ids of older batches are not known: %s", directory, error)
    return places


def _frames(path: Path, stop: int) -> Iterator[list[BatchId]]:
    """Yields the batches that begin in each frame of a segment, as far as entry `stop`.

    Raises BadFrame, Corrupt, OSError.
    """
    offset, end = SegmentHeader.read(PosixDisk(), path).length, path.stat().st_size
    with path.open("rb") as file:
        while offset < end:
            file.seek(offset)
            header = FrameHeader.parse(file.read(HEADER_BYTES))
            if header.first >= stop or header.kind is Kind.SEAL:
                return
            if header.ids:
                table = parse_batch_table(file.read(header.ids), header.first)
                yield [batch for batch in table if batch.first < stop]
            offset += header.length
