"""What a store has to have, as a node's books say it: what was read back there, and not expired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from muniment.data_names import ARCHIVE, LOGS
from muniment.errors import Corrupt
from muniment.log.disk import Disk, PosixDisk
from muniment.log.pruned import own_pruned
from muniment.log.shard import VERIFIER
from muniment.store.archive.books import read_items
from muniment.store.names import (
    ATTACHMENTS,
    attachment_key,
    segment_key,
    tree_key,
    verifier_key,
)

_BOOKS = ".json"


class Confirmed:
    """The objects of one store in the books of a data directory; for other processes too.

    The books can be lost: an object that they do not name may be in the store all the same.
    """

    def __init__(self, data: Path, store: str, disk: Disk | None = None) -> None:
        self._data, self._store, self._disk = data, store, disk or PosixDisk()

    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each object by key. Raises OSError."""
        folder = self._data / ARCHIVE
        found: dict[str, int] = {}
        for name in self._disk.names(folder) if folder.is_dir() else ():
            log, _, shard = name.removesuffix(_BOOKS).rpartition(".")
            if log and name.endswith(_BOOKS):
                found.update(self._of(folder / name, log, shard))
        return found

    def without_expired(self, keys: list[str]) -> list[str]:
        """Leaves out the segments that have expired since the books were read. Raises OSError."""
        minimums: dict[Path, int] = {}
        kept = []
        for key in keys:
            directory = self._data / Path(key).parent
            if directory not in minimums:
                minimums[directory] = self._minimum(directory)
            if not (key.endswith(".seg") and int(Path(key).stem) < minimums[directory]):
                kept.append(key)
        return kept

    def _of(self, path: Path, log: str, shard: str) -> Iterator[tuple[str, int]]:
        for name, item in (read_items(self._disk, path) or {}).items():
            if item.confirmed(self._store):
                lengths = [thing.length for thing in item.things]
                yield from zip(_keys(log, shard, name), lengths, strict=True)

    def _minimum(self, directory: Path) -> int:
        if not directory.is_relative_to(self._data / LOGS):
            return 0
        try:
            note = own_pruned(self._disk, directory)
        except Corrupt:
            return 0
        return 0 if note is None else note.minimum


def _keys(log: str, shard: str, name: str) -> list[str]:
    """The keys of an item's objects, in the order of its things."""
    if shard == ATTACHMENTS:
        return [attachment_key(log, bytes.fromhex(name))]
    if name == VERIFIER:
        return [verifier_key(log, shard)]
    return [tree_key(log, shard, int(name)), segment_key(log, shard, int(name))]
