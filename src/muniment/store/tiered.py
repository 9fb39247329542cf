"""A disk whose older segments are in a store: a Disk that reads both.

Whatever is on the local disk is read there. A segment that was evicted is listed as if it were
there, and read from the store by range, in blocks that are kept for a while. What comes from the
store is not verified here: a frame's checksum finds damage, not forgery. Verification and proofs
find that; what decides what may expire is proved first (`retention.proved`). A store that does not
answer makes a read fail with StoreFailing, never wrong.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Protocol

from muniment.errors import Corrupt, NoSuchObject
from muniment.log.disk import AppendFile, Disk
from muniment.log.segment import segment_first, segment_name
from muniment.store.names import segment_key
from muniment.store.port import Store

BLOCK = 1 << 20
KEPT_BLOCKS = 32
KEPT_SECONDS = 60.0
"""A block that came damaged over the wire is asked for anew after so long."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A segment in the store: its bytes, and the version that was read back."""

    length: int
    version: str


class Catalog(Protocol):
    """Which segments are in the store only. Safe for several threads."""

    def evicted(self, log: str, shard: str) -> Mapping[int, Remote]:
        """Returns them by first index."""

    def forget(self, log: str, shard: str, first: int) -> None:
        """Drops one that has expired. Raises OSError where that is not this process's to do."""


class TieredDisk:
    """The Disk of a data directory with a store behind it. Safe for several threads.

    `logs` is the folder DATA/logs; everything outside it, and all that writes, is `local`'s.
    """

    def __init__(
        self,
        local: Disk,
        logs: Path,
        catalog: Catalog,
        store: Store,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.local = local
        self._logs, self._catalog, self._store, self._clock = logs, catalog, store, clock
        self._blocks: OrderedDict[tuple[str, str, int], tuple[float, bytes]] = OrderedDict()
        self._mutex = Lock()

    def create(self, path: Path, mode: int = 0o644) -> AppendFile:
        return self.local.create(path, mode)

    def append(self, path: Path) -> AppendFile:
        return self.local.append(path)

    def read(self, path: Path, offset: int = 0, length: int | None = None) -> bytes:
        """Raises StoreFailing, and Corrupt where the store has lost what it had, beside OSError."""
        try:
            return self.local.read(path, offset, length)
        except FileNotFoundError:
            found = self._remote(path)
            if found is None:
                raise
        key, remote = found
        end = remote.length if length is None else min(offset + length, remote.length)
        pieces = []
        for number in range(offset // BLOCK, -(-end // BLOCK)):
            block = self._block(path, key, remote, number)
            start = max(0, offset - number * BLOCK)
            pieces.append(block[start : end - number * BLOCK])
        return b"".join(pieces)

    def size(self, path: Path) -> int:
        try:
            return self.local.size(path)
        except FileNotFoundError:
            found = self._remote(path)
            if found is None:
                raise
            return found[1].length

    def names(self, directory: Path) -> list[str]:
        here = self.local.names(directory)
        place = self._shard_of(directory)
        if place is None:
            return here
        away = [segment_name(first) for first in self._catalog.evicted(*place)]
        return sorted({*here, *away}) if away else here

    def make_directory(self, path: Path) -> None:
        self.local.make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self.local.sync_directory(path)

    def remove(self, path: Path) -> None:
        """Removes a local file; of an evicted segment, what is known of it here."""
        found = self._remote(path)
        try:
            self.local.remove(path)
        except FileNotFoundError:
            if found is None:
                raise
        place, first = self._shard_of(path.parent), segment_first(path.name)
        if found is not None and place is not None and first is not None:
            self._catalog.forget(*place, first)

    def rename(self, old: Path, new: Path) -> None:
        self.local.rename(old, new)

    def seal(self, path: Path) -> None:
        self.local.seal(path)

    def _shard_of(self, directory: Path) -> tuple[str, str] | None:
        if directory.parent.parent != self._logs:
            return None
        return directory.parent.name, directory.name

    def _remote(self, path: Path) -> tuple[str, Remote] | None:
        place, first = self._shard_of(path.parent), segment_first(path.name)
        if place is None or first is None:
            return None
        remote = self._catalog.evicted(*place).get(first)
        return (segment_key(*place, first), remote) if remote is not None else None

    def _block(self, path: Path, key: str, remote: Remote, number: int) -> bytes:
        place, now = (key, remote.version, number), self._clock()
        with self._mutex:
            known = self._blocks.get(place)
            if known is not None and now - known[0] < KEPT_SECONDS:
                self._blocks.move_to_end(place)
                return known[1]
        offset = number * BLOCK
        length = min(BLOCK, remote.length - offset)
        try:
            block = self._store.get_range(key, offset, length, version=remote.version)
        except NoSuchObject as error:
            where = f"{self._store.name}: {key}"
            raise Corrupt(where, 0, f"the segment {path.name}, evicted here", "nothing") from error
        if len(block) != length:
            where = f"{self._store.name}: {key}"
            raise Corrupt(where, offset, f"{length} bytes", f"{len(block)}")
        with self._mutex:
            self._blocks[place] = (now, block)
            self._blocks.move_to_end(place)
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return block


def read_only(path: Path) -> OSError:
    """The error of a process that may not change what is evicted."""
    return OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
