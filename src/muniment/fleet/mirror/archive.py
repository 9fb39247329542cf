"""The archive as a source: the sealed segments of a shard that no node serves any more."""

from __future__ import annotations

from collections.abc import Sequence

from muniment.clock import Clock
from muniment.errors import InputError, NoSuchObject
from muniment.fleet.mirror.source import MAX_PIECE, Answer, Gone
from muniment.log.note import Verifier
from muniment.log.raw import End
from muniment.log.segment import segment_first
from muniment.store.bounded import get_at_most
from muniment.store.disk import MAX_SMALL, shard_names
from muniment.store.inventory import Inventory, first_version
from muniment.store.names import PRUNED, log_prefix, segment_key, shard_prefix, verifier_key
from muniment.store.port import Store


class Archived:
    """A shard in a store as a source; see `source.Source`. The store is listed now and then."""

    def __init__(self, store: Store, clock: Clock, every: float) -> None:
        self.size = 0
        self._store, self._clock, self._every = store, clock, every
        self._inventory: Inventory | None = None
        self._listed = 0.0

    @property
    def name(self) -> str:
        """The store's url."""
        return self._store.url

    def read(self, log: str, shard: str, place: End, wait: float) -> Answer:
        """See `source.Source`. It never waits: an archive grows by whole segments."""
        del wait
        key = segment_key(log, shard, place.segment)
        inventory = self._look(log, shard)
        found = inventory.first(key)
        if found is None:
            self._check_begins(inventory, log, shard, place)
            return Answer(b"", 0, False, self.size)
        try:
            length = min(MAX_PIECE, found.size - place.offset)
            data = (
                self._store.get_range(key, place.offset, length, version=found.version)
                if length > 0
                else b""
            )
        except NoSuchObject:
            self._inventory = None
            return Answer(b"", 0, False, self.size)
        return Answer(data, found.size, True, self.size)

    def checkpoint(self, log: str, shard: str) -> str | None:
        """None: those of the archive stand in its segments, which are verified when pulled."""
        del log, shard
        return None

    def tile(self, log: str, shard: str, level: int, number: int, width: int) -> bytes:
        """None are asked for, as it shows no checkpoint. Raises NoSuchObject."""
        raise NoSuchObject(f"{log}/{shard}: tile {level}/{number} ({width}) is not shown")

    def _look(self, log: str, shard: str) -> Inventory:
        now = self._clock.monotonic()
        if self._inventory is None or now - self._listed > self._every:
            self._inventory = Inventory.of(self._store, shard_prefix(log, shard))
            self._listed = now
        return self._inventory

    def _check_begins(self, inventory: Inventory, log: str, shard: str, place: End) -> None:
        names = inventory.names(shard_prefix(log, shard).rstrip("/"))
        firsts = [first for name in names if (first := segment_first(name)) is not None]
        if firsts and place.segment < firsts[0]:
            raise Gone(f"{self.name} begins with entry {firsts[0]:,} of {log}/{shard}")


def archived_shards(store: Store, log: str) -> Sequence[str]:
    """Returns the names of a log's shards that an archive has anything of. Raises StoreFailing."""
    return [name for _, name in shard_names(Inventory.of(store, log_prefix(log)))]


def archived_minimum(store: Store, log: str, shard: str) -> int:
    """Returns the first entry of an archived shard that has not expired. Raises StoreFailing."""
    folder = f"{shard_prefix(log, shard)}{PRUNED}"
    names = Inventory.of(store, f"{folder}/").names(folder)
    return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)


def archived_verifier(store: Store, log: str, shard: str) -> str:
    """Returns the key of an archived shard, empty where there is none. Raises StoreFailing."""
    key = verifier_key(log, shard)
    found = first_version(store, key)
    if found is None:
        return ""
    try:
        data = get_at_most(store, key, MAX_SMALL, version=found.version)
        return str(Verifier.parse(data.decode()))
    except (InputError, UnicodeDecodeError, NoSuchObject):
        return ""
