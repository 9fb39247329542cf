"""What was evicted, out of the primary store again: for a backup, or to be read once more."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from muniment.errors import Corrupt, NoSuchObject
from muniment.store.archive.books import Item, thing_of
from muniment.store.archive.carry import Pause, place, read_back
from muniment.store.bounded import get_at_most
from muniment.store.port import Store

_PIECE = 1 << 20


class Primary:
    """Reads the primary store's copies, in the versions that were read back."""

    def __init__(self, store: Store) -> None:
        self.store, self.name = store, store.name

    def get(self, key: str, item: Item, number: int) -> bytes:
        """Returns the bytes of an item's object. Raises Corrupt, StoreFailing."""
        try:
            version, most = self._version(item, number), item.things[number].length
            data = get_at_most(self.store, key, most, version=version)
        except NoSuchObject as error:
            raise Corrupt(place(self.store, key), 0, "what was confirmed", "nothing") from error
        if thing_of(data) != item.things[number]:
            digest = item.things[number].digest
            raise Corrupt(place(self.store, key), 0, f"SHA-256 {digest}", "other bytes")
        return data

    def fetch(self, key: str, item: Item, number: int, draft: Path, pause: Pause) -> None:
        """Writes an item's object into a file, piece by piece. Raises Corrupt, StoreFailing."""
        version, hashed = self._version(item, number), sha256()
        with draft.open("wb") as file:
            for offset in range(0, item.things[number].length, _PIECE):
                pause()
                try:
                    piece = self.store.get_range(key, offset, _PIECE, version=version)
                except NoSuchObject as error:
                    where = place(self.store, key)
                    raise Corrupt(where, offset, "what was confirmed", "nothing") from error
                hashed.update(piece)
                file.write(piece)
        if hashed.hexdigest() != item.things[number].digest:
            digest = item.things[number].digest
            raise Corrupt(place(self.store, key), 0, f"SHA-256 {digest}", hashed.hexdigest())

    def read_again(self, keys: Sequence[str], item: Item, pause: Pause) -> None:
        """Reads all objects of an item back once more. Raises Corrupt, StoreFailing."""
        for number, (key, thing) in enumerate(zip(keys, item.things, strict=True)):
            read_back(self.store, key, self._version(item, number), thing, pause)

    def _version(self, item: Item, number: int) -> str:
        copy = item.copies.get(self.name)
        return copy.versions[number] if copy and len(copy.versions) > number else ""
