"""The sealed segments of one shard, on their way to the stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import RLock

from muniment.errors import Corrupt, InputError
from muniment.log.disk import Disk, write_file
from muniment.log.history import segment_names
from muniment.log.note import Verifier
from muniment.log.pruned import read_pruned
from muniment.log.segment import seal_place, segment_first, segment_name
from muniment.log.shard import VERIFIER
from muniment.store.archive.books import Books, Item, Thing, thing_of
from muniment.store.archive.carry import Pause
from muniment.store.archive.catalog import remote_of
from muniment.store.archive.port import Rules
from muniment.store.archive.primary import Primary
from muniment.store.archive.recovery import remote_items
from muniment.store.archive.shelf import Waiting, seconds
from muniment.store.names import (
    segment_key,
    tree_key,
    tree_name,
    verifier_key,
)
from muniment.store.port import Body, Store
from muniment.store.tiered import Remote
from muniment.store.tree import make_companion

TREE, SEGMENT = 0, 1
"""Where companion and segment stand among the things of an item: the companion goes first."""

_WRITABLE = 0o222


@dataclass(frozen=True, slots=True)
class Local:
    """A sealed segment on the local disk: where it ends, its bytes, when it was sealed."""

    size: int
    length: int
    since: int


class Segments:
    """The Shelf of a shard. An item's name is its first index, 20 digits; or `verifier`."""

    def __init__(
        self,
        log: str,
        directory: Path,
        outbox: Path,
        primary: Store,
        disk: Disk,
        rules: Rules,
        monotonic: Callable[[], float],
    ) -> None:
        """`outbox` is the folder for companions on their way; the books stand beside it."""
        self.log, self.shard, self.directory = log, directory.name, directory
        self._outbox, self._disk, self._rules = outbox, disk, rules
        self._primary = Primary(primary)
        self.books = Books(disk, outbox.with_name(f"{outbox.name}.json"), monotonic)
        self._making = RLock()
        self._known: dict[str, Local] = {}
        self._remote: tuple[int, dict[int, Remote]] = (-1, {})

    @cached_property
    def verifier(self) -> Verifier:
        """The shard's public key. Raises Corrupt, OSError."""
        path = self.directory / VERIFIER
        try:
            return Verifier.parse(self._disk.read(path).decode())
        except (InputError, UnicodeDecodeError) as error:
            raise Corrupt(str(path), 0, "a verifier key", str(error)) from error

    @property
    def minimum(self) -> int:
        """Entries below this have expired."""
        note = read_pruned(self._disk, self.directory, self.verifier)
        return max(self._rules.minimum(self.log, self.shard), note.minimum if note else 0)

    def local(self) -> dict[str, Local]:
        """Returns the sealed segments that lie on the local disk, oldest first.

        That is all but the last, sealed or given up after a failed write, and the last where it
        was sealed and nothing came after it.
        """
        minimum = self.minimum
        firsts = [segment_first(name) for name in segment_names(self._disk, self.directory)]
        starts = [first for first in firsts if first is not None]
        if starts:
            starts += self._sealed_end(starts[-1])
        found = {}
        for first, after in pairwise(starts):
            name = f"{first:020d}"
            local = self._known.get(name)
            try:
                if local is None:
                    state = self.path(name).stat()
                    local = Local(after, state.st_size, seconds(state.st_mtime_ns))
            except FileNotFoundError:
                continue  # evicted or expired meanwhile
            if first >= minimum:
                found[name] = local
        self._known = found
        return found

    def _sealed_end(self, first: int) -> list[int]:
        """The tree's size at the end of the last segment, if it is sealed, and durably so.

        Whoever seals a file takes the right to write from it after the last sync.
        """
        path = self.directory / segment_name(first)
        if path.stat().st_mode & _WRITABLE:
            return []
        seal = seal_place(self._disk, path)
        return [] if seal is None else [seal.header.size]

    def path(self, name: str) -> Path:
        """Where a segment stands on the local disk."""
        return self.directory / segment_name(int(name))

    def waiting(self, store: str) -> list[Waiting]:
        minimum = f"{self.minimum:020d}"
        self.books.keep(lambda name: name >= minimum)  # `verifier` is above all numbers
        found = [Waiting(VERIFIER, 0, 0)]
        found += [Waiting(name, one.length, one.since) for name, one in self.local().items()]
        here = {one.name for one in found}
        for name, item in self.books.items():
            if item.evicted and name not in here:
                found.append(Waiting(name, item.length, item.since))
        done = {name for name, item in self.books.items() if item.confirmed(store)}
        return sorted((w for w in found if w.name not in done), key=lambda w: (w.since, w.name))

    def keys(self, name: str) -> list[str]:
        if name == VERIFIER:
            return [verifier_key(self.log, self.shard)]
        first = int(name)
        return [tree_key(self.log, self.shard, first), segment_key(self.log, self.shard, first)]

    def item(self, name: str) -> Item:
        with self._making:
            item = self.books.get(name)
            if item is None:
                item = self._verifier_item() if name == VERIFIER else self._made(name)
                with self.books.change() as items:
                    items[name] = item
            return item

    def _verifier_item(self) -> Item:
        path = self.directory / VERIFIER
        data = self._disk.read(path)
        thing = Thing(len(data), sha256(data).hexdigest())
        return Item([thing], seconds(path.stat().st_mtime_ns))

    def _made(self, name: str) -> Item:
        """Verifies a segment and writes its companion into the outbox."""
        path = self.path(name)
        companion = make_companion(self._disk, path, self.verifier)
        data = companion.encode()
        self._disk.make_directory(self._outbox)
        write_file(self._disk, self._outbox / tree_name(int(name)), data)
        things = [thing_of(data), Thing(companion.length, companion.digest.hex())]
        return Item(things, seconds(path.stat().st_mtime_ns), companion.size)

    @contextmanager
    def bodies(self, name: str, item: Item, lane: str, pause: Pause) -> Iterator[list[Body]]:
        if name == VERIFIER:
            yield [self._disk.read(self.directory / VERIFIER)]
            return
        path = self.path(name)
        if path.exists():
            yield [self._companion(name, item, path), path]
            return
        draft = self._outbox / f".{name}.{lane}.part"
        try:
            keys = self.keys(name)
            tree = self._primary.get(keys[TREE], item, TREE)
            self._disk.make_directory(self._outbox)
            self._primary.fetch(keys[SEGMENT], item, SEGMENT, draft, pause)
            yield [tree, draft]
        finally:
            draft.unlink(missing_ok=True)

    def _companion(self, name: str, item: Item, path: Path) -> bytes:
        """A segment's companion: out of the outbox, or made anew where it is not there."""
        try:
            data = self._disk.read(self._outbox / tree_name(int(name)))
        except FileNotFoundError:
            data = b""
        if thing_of(data) != item.things[TREE]:
            data = make_companion(self._disk, path, self.verifier).encode()
        if thing_of(data) != item.things[TREE]:
            raise Corrupt(str(path), 0, "the segment that was carried before", "another one")
        return data

    def held(self, name: str, item: Item) -> bool:
        if name == VERIFIER:
            return False
        return self._rules.held(self.log, self.shard, int(name), item.size)

    def confirmed(self, name: str, stores: Mapping[str, object]) -> None:
        item = self.books.get(name)
        if name == VERIFIER or item is None:
            return
        if all(item.confirmed(store) for store in stores):
            (self._outbox / tree_name(int(name))).unlink(missing_ok=True)

    def covered(self) -> int:
        """The entries from the first one that is kept that the primary has without a gap."""
        size = self.minimum
        for name, item in self.books.items():
            if name == VERIFIER or item.size <= size:
                continue
            if int(name) > size or not item.confirmed(self._primary.name):
                break
            size = item.size
        return size

    def evicted(self) -> dict[int, Remote]:
        """The segments that are in the store only, by first index."""
        revision = self.books.revision
        if self._remote[0] != revision:
            found = remote_of(dict(self.books.items()), self._primary.name)
            self._remote = (revision, found)
        return self._remote[1]

    def read_again(self, name: str, item: Item, pause: Pause) -> None:
        """Reads an item back from the primary once more. Raises Corrupt, StoreFailing."""
        self._primary.read_again(self.keys(name), item, pause)

    def evict(self, name: str) -> int:
        """Removes a segment from the local disk, after saying so durably; returns its bytes."""
        with self.books.change() as items:
            item = items.get(name)
            if item is None:
                return 0  # it has expired meanwhile
            item.evicted = True
            length = item.things[SEGMENT].length
        self.books.flush(now=True)
        self._disk.remove(self.path(name))
        self._disk.sync_directory(self.directory)
        return length

    @property
    def incomplete(self) -> bool:
        size = self.minimum
        ends = {name: one.size for name, one in self.local().items()}
        ends |= {name: item.size for name, item in self.books.items() if item.evicted}
        for name, end in sorted(ends.items()):
            if int(name) > size:
                return True
            size = max(size, end)
        names = segment_names(self._disk, self.directory)
        return bool(names) and (segment_first(names[-1]) or 0) > size

    def recover(self) -> None:
        """Finds what only the primary has: where the books were lost after an eviction."""
        local, minimum = self.local(), self.minimum

        def wanted(name: str) -> bool:
            here = name in local or self.path(name).exists() or self.books.get(name) is not None
            return int(name) >= minimum and not here

        for name, item in remote_items(
            self._primary.store, self.log, self.shard, self.verifier, wanted
        ):
            with self.books.change() as items:
                items[name] = item
