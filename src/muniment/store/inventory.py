"""What a store holds below a prefix: of each key the first version, and what came after it.

The first version of a key is the evidence. What was put over it later, and a delete marker that
hides it, change nothing of that; they are kept here to be reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from muniment.store.insist import Insist
from muniment.store.port import Object, Store


@dataclass(frozen=True, slots=True)
class Held:
    """All there is under one key: `objects` are versions and delete markers, newest first."""

    key: str
    objects: tuple[Object, ...]

    @property
    def first(self) -> Object | None:
        """The oldest version, or None where only delete markers are left."""
        return next((one for one in reversed(self.objects) if not one.marker), None)

    @property
    def later(self) -> Sequence[Object]:
        """The versions that were put over the first one, newest first."""
        return [one for one in self.objects if not one.marker][:-1]

    @property
    def markers(self) -> Sequence[Object]:
        """The delete markers, newest first."""
        return [one for one in self.objects if one.marker]

    @property
    def hidden(self) -> bool:
        """Whether a plain `get` finds nothing because of a delete marker."""
        return self.objects[0].marker


class Inventory:
    """The objects below a prefix by key, in memory: some 300 bytes each."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held
        folders: dict[str, set[str]] = {}
        for key, one in held.items():
            folder, _, name = key.rpartition("/")
            while one.first is not None and name not in folders.setdefault(folder, set()):
                folders[folder].add(name)
                folder, _, name = folder.rpartition("/")
        self._folders = {folder: sorted(names - {""}) for folder, names in folders.items()}

    @classmethod
    def of(cls, store: Store, prefix: str, insist: Insist | None = None) -> Inventory:
        """Lists a store. Raises StoreFailing where it cannot be listed in full."""
        return cls((insist or Insist())(lambda: _listed(store, prefix)))

    def __iter__(self) -> Iterator[Held]:
        return (self._held[key] for key in sorted(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> Held | None:
        """What there is under a key, or None."""
        return self._held.get(key)

    def first(self, key: str) -> Object | None:
        """The first version of a key, or None where there is none."""
        held = self._held.get(key)
        return None if held is None else held.first

    def names(self, folder: str) -> list[str]:
        """The names right below a folder (no slash at its end), sorted; empty where none is."""
        return self._folders.get(folder, [])


def first_version(store: Store, key: str) -> Object | None:
    """Asks a store for the oldest version of a key, hidden or not; None where there is none.

    Raises StoreFailing.
    """
    versions = [one for one in store.write_once.versions(key) if one.key == key and not one.marker]
    return versions[-1] if versions else None


def _listed(store: Store, prefix: str) -> dict[str, Held]:
    found: dict[str, list[Object]] = {}
    for one in store.write_once.versions(prefix):
        found.setdefault(one.key, []).append(one)
    return {key: Held(key, tuple(objects)) for key, objects in found.items()}
