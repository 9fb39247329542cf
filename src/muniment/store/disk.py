"""A shard in a store, read as if it lay on a disk; nothing can be written.

A shard's folder shows what the local one has: `verifier`, the segments, and two things that no
store keeps: `checkpoints` and `tiles/<level>`, made from the segments' companions (`tree`). Of
every key the first version is read, whatever was put over it later.

Segments are read in order, so they are fetched in large blocks, a few ahead, each byte once.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import NoReturn

from muniment.errors import Corrupt, NoSuchObject
from muniment.log.committer import CHECKPOINTS
from muniment.log.disk import AppendFile
from muniment.log.segment import SUFFIX
from muniment.log.tiles import DIRECTORY
from muniment.store.bounded import get_at_most
from muniment.store.companions import Companions
from muniment.store.insist import Insist
from muniment.store.inventory import Inventory
from muniment.store.names import LOGS, PRUNED, TREE, parse
from muniment.store.port import Object, Store
from muniment.store.tree import MAX_BYTES

BLOCK = 8 << 20
AHEAD = 3
"""Blocks that are fetched before they are asked for."""

MAX_SMALL = 1 << 20
"""Bytes of a verifier, a pruned note, a policy: far above any of them."""

KEPT = 8
"""Blocks that are held in memory, those on their way included."""


class StoreDisk:
    """A read-only Disk over `logs/` of a store; safe for several threads.

    `inventory` is what the store is known to hold; it is listed where none is given. Reading
    raises FileNotFoundError for what is not there, or not there any more, and StoreFailing where
    the store does not answer for long; everything that writes raises OSError (EROFS).
    """

    def __init__(
        self,
        store: Store,
        inventory: Inventory | None = None,
        *,
        insist: Insist | None = None,
        block: int = BLOCK,
        ahead: int = AHEAD,
    ) -> None:
        self.store, self.insist = store, insist or Insist()
        if inventory is None:
            inventory = Inventory.of(store, LOGS, self.insist)
        self.inventory = inventory
        self._block, self._ahead = block, ahead
        self._lock = RLock()
        self._blocks: OrderedDict[tuple[str, int], Future[bytes]] = OrderedDict()
        self._digests: dict[str, _Digest] = {}
        self._companions: dict[str, Companions] = {}
        self._pool = ThreadPoolExecutor(max(1, ahead), "store-disk")

    def names(self, directory: Path) -> list[str]:
        """Returns the names in a folder as a local data directory would have them, sorted."""
        shard = self._derived(directory / "x")
        if shard is not None:
            return [str(number + 1) for number in range(len(self.companions(shard).tiles))]
        names = self.inventory.names(str(directory))
        if len(directory.parts) != 3:
            return names
        if not names:
            self._missing(str(directory))
        found = [name for name in names if self._belongs(directory, name)]
        companions = self.companions(directory)
        found += [CHECKPOINTS] if companions.notes else []
        found += [DIRECTORY] if companions.tiles else []
        return sorted(found)

    def _belongs(self, shard: Path, name: str) -> bool:
        """Whether a local folder has such a file; `trust.stores` reports what belongs to no log."""
        return name == PRUNED or (not name.endswith(TREE) and parse(f"{shard}/{name}") is not None)

    def companions(self, shard: Path) -> Companions:
        """Returns what the companions of a shard's segments say; read once, then kept."""
        with self._lock:
            found = self._companions.get(str(shard))
            if found is None:
                found = Companions.read(self, shard)
                self._companions[str(shard)] = found
            return found

    def size(self, path: Path) -> int:
        """Returns the size of a file in bytes."""
        made = self._made(path)
        return self._object(str(path)).size if made is None else len(made)

    def read(self, path: Path, offset: int = 0, length: int | None = None) -> bytes:
        """Returns up to `length` bytes from `offset`, fewer only at the end of the file."""
        made = self._made(path)
        if made is not None:
            return made[offset : len(made) if length is None else offset + length]
        key = str(path)
        end = self._object(key).size
        if length is None and end > MAX_SMALL and not key.endswith(SUFFIX):
            raise Corrupt(key, MAX_SMALL, f"{MAX_SMALL:,} bytes at most", f"{end:,}")
        end = end if length is None else min(end, offset + length)
        parts = []
        while offset < end:
            number, skipped = divmod(offset, self._block)
            data = self._wait(key, number)[skipped : skipped + end - offset]
            if not data:
                break
            parts.append(data)
            offset += len(data)
        return b"".join(parts)

    def digest(self, path: Path) -> bytes:
        """Returns the SHA-256 of a file; what was read of it in order is not read again."""
        key = str(path)
        blocks = -(-self._object(key).size // self._block)
        while self._digest_of(key).blocks < blocks:
            self._wait(key, self._digest_of(key).blocks)
        return self._digest_of(key).hash.digest()

    def forget(self, path: Path) -> None:
        """Lets go of what is kept in memory of a file."""
        with self._lock:
            self._digests.pop(str(path), None)
            for place in [place for place in self._blocks if place[0] == str(path)]:
                del self._blocks[place]

    def object(self, key: str) -> bytes:
        """Returns a whole small object, past the blocks: its first version.

        Raises Corrupt where it is larger than any of them.
        """
        found = self._object(key)
        most = MAX_BYTES if key.endswith(TREE) else MAX_SMALL
        return self._ask(key, lambda: get_at_most(self.store, key, most, version=found.version))

    def _made(self, path: Path) -> bytes | None:
        """The bytes of a file that is made from companions, or None for an object."""
        if path.name == CHECKPOINTS and len(path.parts) == 4:
            notes = self.companions(path.parent).notes
            return notes or self._missing(str(path))
        if path.name == PRUNED and len(path.parts) == 4:
            notes_of_minimum = self.inventory.names(str(path))
            return self.object(f"{path}/{notes_of_minimum[-1]}") if notes_of_minimum else None
        shard = self._derived(path)
        if shard is None:
            return None
        tiles = self.companions(shard).tiles
        if path.name not in map(str, range(1, len(tiles) + 1)):
            self._missing(str(path))
        return tiles[int(path.name) - 1]

    @staticmethod
    def _derived(path: Path) -> Path | None:
        """The shard whose `tiles` folder holds this path, or None for other paths."""
        return path.parent.parent if path.parts[3:4] == (DIRECTORY,) else None

    def _object(self, key: str) -> Object:
        return self.inventory.first(key) or self._missing(key)

    @staticmethod
    def _missing(key: str) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)

    def _wait(self, key: str, number: int) -> bytes:
        """Returns a block, and begins to fetch those after it."""
        last = -(-self._object(key).size // self._block)
        with self._lock:
            waiting = self._fetch(key, number)
            for ahead in range(number + 1, min(number + 1 + self._ahead, last)):
                self._fetch(key, ahead)
        data = waiting.result()
        self._digest_of(key).take(number, data)
        return data

    def _fetch(self, key: str, number: int) -> Future[bytes]:
        """Returns the block's future, made where there is none or it failed. Under the lock."""
        found = self._blocks.get((key, number))
        if found is None or (found.done() and found.exception() is not None):
            found = self._pool.submit(self._get, key, number)
            self._blocks[key, number] = found
        self._blocks.move_to_end((key, number))
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)
        return found

    def _get(self, key: str, number: int) -> bytes:
        found = self._object(key)
        offset = number * self._block
        length = min(self._block, found.size - offset)
        return self._ask(
            key, lambda: self.store.get_range(key, offset, length, version=found.version)
        )

    def _ask(self, key: str, call: Callable[[], bytes]) -> bytes:
        try:
            return self.insist(call)
        except NoSuchObject:
            self._missing(key)

    def _digest_of(self, key: str) -> _Digest:
        with self._lock:
            return self._digests.setdefault(key, _Digest())

    def close(self) -> None:
        """Ends the threads; the store is the caller's."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def create(self, path: Path, mode: int = 0o644) -> AppendFile:
        """Raises OSError."""
        del mode
        self._refuse(path)

    def append(self, path: Path) -> AppendFile:
        """Raises OSError."""
        self._refuse(path)

    def make_directory(self, path: Path) -> None:
        """Raises OSError."""
        self._refuse(path)

    def sync_directory(self, path: Path) -> None:
        """Raises OSError."""
        self._refuse(path)

    def remove(self, path: Path) -> None:
        """Raises OSError."""
        self._refuse(path)

    def rename(self, old: Path, new: Path) -> None:
        """Raises OSError."""
        del new
        self._refuse(old)

    def seal(self, path: Path) -> None:
        """Raises OSError."""
        self._refuse(path)

    @staticmethod
    def _refuse(path: Path) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


class _Digest:
    """The SHA-256 of a file as far as its blocks came in order: the first `blocks` of them."""

    def __init__(self) -> None:
        self.hash = sha256()
        self.blocks = 0
        self._lock = RLock()

    def take(self, number: int, data: bytes) -> None:
        """Takes a block where it is the next one."""
        with self._lock:
            if number == self.blocks:
                self.hash.update(data)
                self.blocks += 1


def shard_names(inventory: Inventory) -> list[tuple[str, str]]:
    """Returns (log, shard) of every shard that a store has anything of, sorted."""
    found = set()
    for held in inventory:
        name = parse(held.key)
        if name is not None and name.shard:
            found.add((name.log, name.shard))
    return sorted(found)
