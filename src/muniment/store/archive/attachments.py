"""The attachments of one log, on their way to the stores: DATA/attachments/<log>/<aa>/<SHA-256>."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from muniment.errors import Corrupt
from muniment.log.disk import Disk
from muniment.store.archive.books import Books, Item, Thing
from muniment.store.archive.carry import Pause
from muniment.store.archive.shelf import Waiting, seconds
from muniment.store.names import ATTACHMENTS, attachment_key
from muniment.store.port import Body

_FOLDER = re.compile(r"[0-9a-f]{2}", re.ASCII)
_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PIECE = 1 << 20


class AttachmentFiles:
    """The Shelf of a log's attachments. An item's name is its SHA-256 in hex.

    Attachments are not evicted, so nothing is ever only in a store.
    """

    shard = ATTACHMENTS
    incomplete = False

    def __init__(
        self, log: str, folder: Path, books: Path, disk: Disk, monotonic: Callable[[], float]
    ) -> None:
        self.log, self._folder, self._disk = log, folder, disk
        self.books = Books(disk, books, monotonic)
        self._known: dict[str, Waiting] = {}

    def waiting(self, store: str) -> list[Waiting]:
        known = {}
        for name in self._names():
            known[name] = self._known.get(name) or self._waiting(name)
        self._known = known
        self.books.keep(known.__contains__)  # what has expired is not here any more
        done = {name for name, item in self.books.items() if item.confirmed(store)}
        found = [one for name, one in known.items() if name not in done]
        return sorted(found, key=lambda one: (one.since, one.name))

    def _waiting(self, name: str) -> Waiting:
        state = self._path(name).stat()
        return Waiting(name, state.st_size, seconds(state.st_mtime_ns))

    def _names(self) -> Iterator[str]:
        if not self._folder.is_dir():
            return
        for folder in self._disk.names(self._folder):
            if _FOLDER.fullmatch(folder):
                for name in self._disk.names(self._folder / folder):
                    if _NAME.fullmatch(name) and name.startswith(folder):
                        yield name

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def keys(self, name: str) -> list[str]:
        return [attachment_key(self.log, bytes.fromhex(name))]

    def item(self, name: str) -> Item:
        item = self.books.get(name)
        if item is None:
            item = self._made(name)
            with self.books.change() as items:
                item = items.setdefault(name, item)
        return item

    def _made(self, name: str) -> Item:
        path, hashed, length = self._path(name), sha256(), 0
        while piece := self._disk.read(path, length, _PIECE):
            hashed.update(piece)
            length += len(piece)
        if hashed.hexdigest() != name:
            raise Corrupt(str(path), 0, "bytes with the SHA-256 of its name", hashed.hexdigest())
        return Item([Thing(length, name)], seconds(path.stat().st_mtime_ns))

    @contextmanager
    def bodies(self, name: str, item: Item, lane: str, pause: Pause) -> Iterator[list[Body]]:  # noqa: ARG002
        yield [self._path(name)]

    def held(self, name: str, item: Item) -> bool:  # noqa: ARG002
        """Holds on attachments are put by whoever puts a log on hold."""
        return False

    def confirmed(self, name: str, stores: Mapping[str, object]) -> None:
        """Nothing is kept beside the file."""

    def recover(self) -> None:
        """Nothing is only in a store."""
