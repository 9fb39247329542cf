"""Which segments are in the store only, as the books on disk say it: for other processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from muniment.log.disk import PosixDisk
from muniment.log.shard import VERIFIER
from muniment.store.archive.books import Item, read_items
from muniment.store.tiered import Remote, read_only


class FileCatalog:
    """Reads the books of a data directory, again whenever they have changed.

    A segment is in the books as evicted before it goes: who misses it locally finds it there.
    """

    def __init__(self, books: Path, primary: str) -> None:
        """`books` is DATA/archive, `primary` the name of the primary store."""
        self._books, self._primary = books, primary
        self._mutex = Lock()
        self._known: dict[Path, tuple[tuple[int, int, int], Mapping[int, Remote]]] = {}

    def evicted(self, log: str, shard: str) -> Mapping[int, Remote]:
        """Returns the segments that are in the store only, by first index."""
        path = self._books / f"{log}.{shard}.json"
        try:
            state = path.stat()
        except FileNotFoundError:
            return {}
        mark = (state.st_ino, state.st_mtime_ns, state.st_size)
        with self._mutex:
            known = self._known.get(path)
            if known is None or known[0] != mark:
                items = read_items(PosixDisk(), path) or {}
                known = self._known[path] = (mark, remote_of(items, self._primary))
            return known[1]

    def forget(self, log: str, shard: str, first: int) -> None:  # noqa: ARG002
        """Raises OSError: the books belong to the node."""
        raise read_only(self._books)


def remote_of(items: Mapping[str, Item], primary: str) -> dict[int, Remote]:
    """Returns what is evicted, by first index, and where it is in the primary store."""
    found = {}
    for name, item in items.items():
        if name != VERIFIER and item.evicted:
            copy = item.copies.get(primary)
            version = copy.versions[-1] if copy and copy.versions else ""
            found[int(name)] = Remote(item.things[-1].length, version)
    return found
