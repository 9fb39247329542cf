"""Taking sealed segments off the local disk, once the primary store has shown that it has them.

A segment is confirmed when it was read back after its put. It is read back once more right before
it is removed here: two reads, some time apart, each of every byte.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment.clock import Clock
from muniment.errors import Corrupt
from muniment.log.disk import Disk
from muniment.log.frame import Kind
from muniment.log.history import all_places, segment_names
from muniment.store.archive.books import Item
from muniment.store.archive.carry import Pause
from muniment.store.archive.health import Health
from muniment.store.archive.port import Cache
from muniment.store.archive.segments import Segments
from muniment.store.archive.shelf import moment

NEWEST, CHECKPOINTS = 2, 2
"""So many segments of a shard stay at least, and as many more as it takes for so many checkpoints
in sealed ones: what a start reads is here, whether the store answers or not."""

AT_A_TIME = 8
"""Segments a round, so that carrying is never held up for long."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Candidate:
    shelf: Segments
    name: str
    item: Item


class Evictor:
    """Keeps the local segments within `cache`. Runs on the primary's lane."""

    def __init__(
        self, shelves: Sequence[Segments], cache: Cache, primary: str, disk: Disk, clock: Clock
    ) -> None:
        self._shelves, self._cache, self._primary = shelves, cache, primary
        self._disk, self._clock = disk, clock
        self.local_bytes = 0
        self._checkpoints: dict[Path, int] = {}

    def run(self, health: Health, pause: Pause) -> bool:
        """Evicts what is over the bounds, oldest first; says whether there may be more of it.

        Raises StoreFailing, OSError.
        """
        if self._cache.size is None and self._cache.age is None:
            return False
        self.local_bytes = sum(_bytes(shelf.directory, self._disk) for shelf in self._shelves)
        candidates = sorted(self._candidates(), key=lambda one: (one.item.since, one.name))
        for one in candidates[:AT_A_TIME]:
            if not self._is_over(one):
                return False
            pause()
            self._evict(one, health, pause)
        return len(candidates) > AT_A_TIME

    def _candidates(self) -> Iterator[_Candidate]:
        for shelf in self._shelves:
            kept = self._kept(shelf.directory)
            for name in shelf.local():
                item = shelf.books.get(name)
                if item is None or shelf.path(name).name in kept:
                    continue
                if item.confirmed(self._primary):
                    yield _Candidate(shelf, name, item)

    def _kept(self, directory: Path) -> set[str]:
        """The names of the newest segments, which stay."""
        kept: set[str] = set()
        checkpoints = 0
        *sealed, last = segment_names(self._disk, directory) or [""]
        for name in (last, *reversed(sealed)):
            if len(kept) >= NEWEST and checkpoints >= CHECKPOINTS:
                break
            kept.add(name)
            checkpoints += 0 if name == last else self._count(directory / name)
        known = self._checkpoints
        self._checkpoints = {path: known[path] for path in known if path.parent != directory} | {
            path: known[path] for name in kept if (path := directory / name) in known
        }
        return kept

    def _count(self, path: Path) -> int:
        """The checkpoints in a sealed segment."""
        if path not in self._checkpoints:
            places = all_places(self._disk, path)
            found = sum(place.header.kind is Kind.CHECKPOINT for place in places)
            self._checkpoints[path] = found
        return self._checkpoints[path]

    def _is_over(self, one: _Candidate) -> bool:
        size, age = self._cache.size, self._cache.age
        if size is not None and self.local_bytes > size:
            return True
        return age is not None and self._clock.now() - moment(one.item.since) > age

    def _evict(self, one: _Candidate, health: Health, pause: Pause) -> None:
        shelf, name, item = one.shelf, one.name, one.item
        try:
            shelf.read_again(name, item, pause)
        except Corrupt as error:
            with shelf.books.change():
                del item.copies[self._primary]  # it is to be carried, and confirmed, anew
            health.conflict(shelf.log, shelf.shard, name, error.detail)
            return
        self.local_bytes -= shelf.evict(name)
        _log.info("%s/%s: segment %s is in the store only", shelf.log, shelf.shard, name)


def _bytes(directory: Path, disk: Disk) -> int:
    """The bytes of the sealed segments here."""
    return sum(disk.size(directory / name) for name in segment_names(disk, directory)[:-1])
