"""The appends of a shard's chain, from a tree size on, each checked against the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

from muniment.errors import Corrupt, NoSuchObject
from muniment.log.replica import Append
from muniment.store.port import Store
from muniment.store.wal.header import MAX_HEADER, Header, decode_header
from muniment.store.wal.names import Place, ShardName, key, prefix
from muniment.store.wal.record import Record, decode
from muniment.store.wal.scan import View, chain_backwards, check_place

AHEAD = 4
"""Objects that are read at a time: what they weigh together is the memory of a replay."""


def read_record(store: Store, of: ShardName, place: Place) -> Record:
    """Returns a whole object. Raises NoSuchObject, Corrupt where it is damaged, StoreFailing."""
    name = key(of, place)
    record = decode(store.get(name), name)
    check_place(record.header, of, place)
    return record


class Chain:
    """What a view of a shard's terms leads to. Objects may be cleaned while it is read."""

    def __init__(self, store: Store, of: ShardName, view: View) -> None:
        self._store, self._of, self._view = store, of, view

    @property
    def void(self) -> int:
        """How many objects lie behind the end of their term: nobody was told of them."""
        terms = self._view.terms.values()
        return sum(slot > term.end for term in terms for slot in term.slots)

    def appends(self, from_size: int) -> Iterator[Append]:
        """Yields, in order, what a tree of `from_size` entries still needs.

        These are groups that begin at or behind that size, and checkpoints and seals at or behind
        it: of these the first may be known already. Raises Corrupt where entries from there on
        are gone, where an object is damaged, or where one does not go on from the one before;
        StoreFailing.
        """
        places = list(chain_backwards(self._view))[::-1]
        needed = places[self._first_needed(places, from_size) :]
        while True:
            reached, read = from_size, 0
            try:
                self._check_reach(needed, from_size)
                for record in self._linked(needed):
                    reached, read = record.header.size, read + 1
                    yield from self._wanted(record, from_size)
                self._check_end(reached)
                return
            except NoSuchObject as error:
                if reached > from_size:
                    expected = "a write-ahead object that was there"
                    raise Corrupt(prefix(self._of), 0, expected, error.detail) from error
                needed = needed[read + 1 :]  # it was cleaned; what is behind it must still reach

    def oldest_segment(self) -> int | None:
        """Returns the segment of the first append that is still there; None where none is.

        Raises Corrupt, StoreFailing.
        """
        for place in reversed(list(chain_backwards(self._view))):
            try:
                record = read_record(self._store, self._of, place)
            except NoSuchObject:
                continue  # cleaned meanwhile
            if record.appends:
                return record.appends[0].segment
        return None

    def _linked(self, places: Sequence[Place]) -> Iterator[Record]:
        """Yields objects that go on from one another."""
        before: Record | None = None
        for place, record in self._read(places):
            self._check_link(place, record.header, before)
            before = record
            yield record

    def _wanted(self, record: Record, from_size: int) -> Iterator[Append]:
        for append in record.appends:
            if append.first >= from_size:
                yield append
            elif append.size > from_size:
                name = key(self._of, Place(record.header.term, record.header.slot))
                found = f"one of {append.first} to {append.size}"
                raise Corrupt(name, 0, f"an append from {from_size} on", found)

    def _first_needed(self, places: Sequence[Place], from_size: int) -> int:
        """Returns the index of the first object that reaches `from_size`: sizes only grow."""
        low, high = 0, len(places)
        while low < high:
            middle = (low + high) // 2
            try:
                header = self._header(places[middle])
                before = header.is_fence or header.size < from_size
            except NoSuchObject:
                before = True
            if before:  # or cleaned since, or a fence that came too late into a slot that was
                low = middle + 1
            else:
                high = middle
        return low

    def _check_reach(self, needed: Sequence[Place], from_size: int) -> None:
        """Raises Corrupt where the tree of `from_size` does not reach to what is left."""
        tree = self._view.newest.tree
        if needed:
            name, first = key(self._of, needed[0]), self._header(needed[0]).first
        else:
            name, first = key(self._of, Place(self._view.newest.number, 0)), from_size
            if tree is not None and tree.size > from_size:
                first = tree.size
        if first > from_size:
            expected = f"the entries from {from_size} on"
            found = f"none below {first}: {first - from_size} entries are missing"
            raise Corrupt(name, 0, expected, found)

    def _check_end(self, reached: int) -> None:
        """Raises Corrupt where the newest fence states more than the objects before it hold."""
        tree = self._view.newest.tree
        if tree is not None and tree.size > reached:
            name = key(self._of, Place(self._view.newest.number, 0))
            found = f"none below {tree.size}: {tree.size - reached} entries are missing"
            raise Corrupt(name, 0, f"the entries from {reached} on", found)

    def _header(self, place: Place) -> Header:
        name = key(self._of, place)
        header = decode_header(self._store.get_range(name, 0, MAX_HEADER), name)
        check_place(header, self._of, place)
        return header

    def _check_link(self, place: Place, header: Header, before: Record | None) -> None:
        name = key(self._of, place)
        if header.is_fence:
            raise Corrupt(name, 0, "appends", "a fence")
        if before is not None and before.header.size != header.first:
            raise Corrupt(name, 0, f"an append at {before.header.size}", f"at {header.first}")
        linked = before.digest if before is not None else None
        if place.slot == 0:
            linked = self._check_fence(place.term - 1, before)
        if linked is not None and header.prev != linked:
            raise Corrupt(name, 0, f"a link to {linked.hex()}", header.prev.hex())

    def _check_fence(self, number: int, before: Record | None) -> bytes | None:
        """Returns the digest of a term's fence, which links to the object before it."""
        term = self._view.terms.get(number)
        if term is None or term.fence is None:
            return None
        header = term.fence.header
        if before is None or before.header.term != number or header.confirmed != header.slot:
            return term.fence.digest
        if header.prev != before.digest:
            name = key(self._of, Place(number, term.end))
            raise Corrupt(name, 0, f"a link to {before.digest.hex()}", header.prev.hex())
        return term.fence.digest

    def _read(self, places: Sequence[Place]) -> Iterator[tuple[Place, Record]]:
        """Yields whole objects in order, a few of them read ahead."""
        with ThreadPoolExecutor(AHEAD, "wal replay") as pool:
            running: deque[tuple[Place, Future[Record]]] = deque()
            try:
                for place in chain(places, [None] * AHEAD):
                    if place is not None:
                        work = pool.submit(read_record, self._store, self._of, place)
                        running.append((place, work))
                    if running and (len(running) >= AHEAD or place is None):
                        done, future = running.popleft()
                        yield done, future.result()
            finally:
                for _, future in running:
                    future.cancel()
