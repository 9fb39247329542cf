"""What an archive remembers of a shard: which objects it carried, to which store, and what is gone.

One JSON file a shard, written as a whole under another name and renamed. It can be lost: what it
says is then found out again from the stores, by HEAD and by reading everything back. One thing in
it must be durable before it comes true: that a segment is only in the store (`evicted`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock, RLock

import msgspec

from muniment.log.disk import Disk, write_file
from muniment.log.shard import VERIFIER

MAX_BYTES = 512 << 20
FLUSH_SECONDS = 5.0
"""The file is written this often at most, so that many segments do not make many long writes."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Thing:
    """One object: its bytes, and its SHA-256 in hex."""

    length: int
    digest: str


def thing_of(data: bytes) -> Thing:
    """What there is to know of bytes in memory."""
    return Thing(len(data), sha256(data).hexdigest())


@dataclass(slots=True)
class Copy:
    """What lies in one store: the versions of the objects, and until when they are locked.

    Times are seconds since the epoch. `until` 0 says that no lock is known; `confirmed` is when all
    bytes were read back, 0 before.
    """

    versions: list[str] = field(default_factory=list)
    until: int = 0
    confirmed: int = 0


@dataclass(slots=True)
class Item:
    """What is carried together: a companion and its segment, an attachment, a verifier.

    `size` is the tree's size after a segment; `since` is when it was sealed.
    """

    things: list[Thing]
    since: int
    size: int = 0
    evicted: bool = False
    copies: dict[str, Copy] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Bytes of all its objects."""
        return sum(thing.length for thing in self.things)

    def confirmed(self, store: str) -> bool:
        """Whether a store gave all its bytes back."""
        copy = self.copies.get(store)
        return copy is not None and copy.confirmed > 0


_NUMBER = re.compile(r"[0-9]{20}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(rf"{_NUMBER.pattern}|{_DIGEST.pattern}|{VERIFIER}", re.ASCII)
_LAST = 253_402_300_799
"""The last second of the year 9999."""

_DECODER = msgspec.json.Decoder(dict[str, Item])


def read_items(disk: Disk, path: Path) -> dict[str, Item] | None:
    """Returns what a file of books says, or None where there is none that can be read."""
    try:
        if disk.size(path) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return _sound(_DECODER.decode(disk.read(path)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s cannot be read and is made anew: %s", path, error)
        return None


def _sound(items: dict[str, Item]) -> dict[str, Item]:
    """Returns the items. Raises ValueError where names or objects are not those of an archive."""
    for name, item in items.items():
        wanted = 2 if _NUMBER.fullmatch(name) else 1
        copies = item.copies.values()
        if not _NAME.fullmatch(name) or len(item.things) != wanted or item.evicted > (wanted == 2):
            raise ValueError(f"{name[:80]!r} is no item")
        if any(len(copy.versions) != wanted for copy in copies):
            raise ValueError(f"{name}: a copy has {wanted} versions")
        if any(thing.length < 0 or not _DIGEST.fullmatch(thing.digest) for thing in item.things):
            raise ValueError(f"{name}: an object has a length and a SHA-256")
        if not all(0 <= time <= _LAST for copy in copies for time in (copy.until, copy.confirmed)):
            raise ValueError(f"{name}: a time of a copy is none")
        if not 0 <= item.since <= _LAST or item.size < 0:
            raise ValueError(f"{name}: a time or size is none")
    return items


class Books:
    """The items of one shard by name, kept in a file. Safe for several threads.

    `revision` grows with every change.
    """

    def __init__(self, disk: Disk, path: Path, monotonic: Callable[[], float]) -> None:
        self._disk, self._path, self._monotonic = disk, path, monotonic
        self._mutex = RLock()  # of the items; not held while the disk works, which may take long
        self._writing = Lock()  # of the file; taken before `_mutex`, never after
        self._items = read_items(disk, path) or {}
        self.revision = 0
        self._saved = 0
        self._written = float("-inf")

    def get(self, name: str) -> Item | None:
        """Returns an item, or None."""
        with self._mutex:
            return self._items.get(name)

    def items(self) -> list[tuple[str, Item]]:
        """Returns names and items, by name."""
        with self._mutex:
            return sorted(self._items.items())

    @contextmanager
    def change(self) -> Iterator[dict[str, Item]]:
        """Lends the items to be changed."""
        with self._mutex:
            yield self._items
            self.revision += 1

    def forget(self, name: str) -> bool:
        """Drops an item; says whether there was one."""
        with self._mutex:
            known = self._items.pop(name, None) is not None
            self.revision += known
            return known

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops all items but those that are wanted."""
        with self._mutex:
            gone = [name for name in self._items if not wanted(name)]
            for name in gone:
                del self._items[name]
            self.revision += bool(gone)

    def flush(self, *, now: bool = False) -> None:
        """Writes the file if something changed; unless `now`, not so soon after the last time.

        Raises OSError.
        """
        with self._writing:
            with self._mutex:
                early = self._monotonic() - self._written < FLUSH_SECONDS
                if self.revision == self._saved or (early and not now):
                    return
                revision, data = self.revision, msgspec.json.encode(self._items)
            self._disk.make_directory(self._path.parent)
            write_file(self._disk, self._path, data, 0o600)
            self._saved, self._written = revision, self._monotonic()
