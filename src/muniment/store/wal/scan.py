"""What stands in the store of a shard's terms: where each ends, and by whose fence.

A listing is no snapshot: objects come while it is paged, others are cleaned before they are read.
So what is concluded here rests on three things alone: what a header states was true when it was
made; fences are never removed; and the cleaner leaves, of a term without a fence, an object that
states at least as many confirmed slots as it removes. Where an object that was listed is gone, all
is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from muniment.errors import Corrupt, NoSuchObject, StoreFailing
from muniment.store.port import Store
from muniment.store.wal.header import DIGEST_BYTES, MAX_HEADER, NOTHING, Header, decode_header
from muniment.store.wal.names import Place, ShardName, key, place_of, prefix
from muniment.store.wal.record import decode

TRIES = 50
"""Listings until one is taken that nothing contradicts."""

PAUSE = 0.01


class _Moved(Exception):
    """An object that was listed is gone: read again."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree's size and root; a chain without appends has none yet."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Fence:
    """The fence that ends a term: the first that its chain leads to."""

    header: Header
    digest: bytes


@dataclass(frozen=True, slots=True)
class Term:
    """A term: the slots that are there, and `end`, the first behind its chain.

    A fence stands at `end`, or nothing (the term is open). `tree` is None where the term is not
    known to hold an append. What is there behind `end` is void.
    """

    number: int
    slots: tuple[int, ...]
    end: int
    fence: Fence | None
    tree: Tree | None

    @property
    def top(self) -> int:
        """The greatest slot that is taken; -1 where none is."""
        return self.slots[-1] if self.slots else -1


@dataclass(frozen=True, slots=True)
class View:
    """All terms with objects, and the newest of them: open, with `end` as its next slot.

    `fence` is that by which the newest term began; None where the shard was never claimed.
    """

    terms: Mapping[int, Term]
    newest: Term
    fence: Fence | None


def scan(store: Store, of: ShardName, pause: Callable[[float], None]) -> View:
    """Returns the terms of a shard, as they are now.

    Raises Corrupt where what is there contradicts itself, however often it is read, StoreFailing.
    """
    for number in range(1, TRIES + 1):
        try:
            return _Scan(store, of).view()
        except _Moved:
            pass
        except Corrupt:
            if number >= TRIES // 10:
                raise
        pause(PAUSE * number)
    raise StoreFailing(f"{prefix(of)}: it changes faster than it can be read", reason="busy")


class _Scan:
    """One listing, with the headers that were read of it."""

    def __init__(self, store: Store, of: ShardName) -> None:
        self._store, self._of = store, of
        self._listed: dict[int, list[int]] = {}
        self._headers: dict[Place, Header] = {}
        self._digests: dict[Place, bytes] = {}
        for found in store.list(prefix(of)):
            place = place_of(of, found.key)
            if place is not None:
                self._listed.setdefault(place.term, []).append(place.slot)

    def view(self) -> View:
        """Raises Corrupt, StoreFailing, _Moved."""
        if not self._listed:
            return View({}, Term(0, (), 0, None, None), None)
        terms: dict[int, Term] = {}
        newest = max(self._listed)
        to_read = self._to_read(newest)
        for number in sorted(self._listed):
            slots = tuple(sorted(self._listed[number]))
            if number in to_read:
                terms[number] = self._term(number, slots, terms.get(number - 1), newest)
            else:
                terms[number] = Term(number, slots, slots[0], None, None)
        last = terms[newest]
        if last.fence is not None:
            return View(terms, Term(newest + 1, (), 0, None, last.tree), last.fence)
        before = terms.get(newest - 1)
        return View(terms, last, before.fence if before else None)

    def _to_read(self, newest: int) -> set[int]:
        """Returns the terms that matter: an old one that has its fence alone is not read."""
        full = {number for number, slots in self._listed.items() if len(slots) > 1}
        full.add(newest)
        return full | {number - 1 for number in full}

    def _term(self, number: int, slots: tuple[int, ...], before: Term | None, newest: int) -> Term:
        began = before.fence if before else None
        if number and began is None and len(slots) + (number == newest) > 1:
            where = f"{prefix(self._of)}{number - 1:010d}/"
            raise Corrupt(where, 0, f"the fence that began term {number}", "none")
        end = self._end(number, slots, began.header.writer if began else b"")
        fence = None
        if end in slots:
            place = Place(number, end)
            fence = Fence(self._header(place), self._digests[place])
        elif number < newest:
            where = key(self._of, Place(number, end))
            raise Corrupt(where, 0, f"the fence that began term {number + 1}", "none")
        return Term(number, slots, end, fence, self._tree(number, slots, end, fence, before))

    def _end(self, number: int, slots: tuple[int, ...], owner: bytes) -> int:
        """Returns where the chain of a term ends.

        It goes on from the slots that somebody states to be confirmed, for as long as there is one
        appends object after the other. Where one behind the end states more, the walk begins
        again from there: a slot that was confirmed, and is empty now, was cleaned. A fence in such
        a slot came too late, and is void.
        """
        present = frozenset(slots)
        confirmed = 0
        for slot in reversed(slots):
            header = self._header(Place(number, slot))
            confirmed = max(confirmed, header.confirmed)
            if not header.is_fence:
                break  # a writer states ever more, so those below state less; fences are few
        while True:
            end = confirmed
            while end in present and not self._header(Place(number, end)).is_fence:
                self._check_owner(Place(number, end), owner)
                end += 1
            stated = (self._header(Place(number, slot)).confirmed for slot in slots if slot > end)
            confirmed = max(stated, default=0)
            if confirmed <= end:
                return end

    def _check_owner(self, place: Place, owner: bytes) -> None:
        found = self._header(place).writer
        if owner and found != owner:
            expected = f"an object of the writer {owner.hex()}"
            raise Corrupt(key(self._of, place), 0, expected, f"one of {found.hex()}")

    def _tree(
        self,
        number: int,
        slots: tuple[int, ...],
        end: int,
        fence: Fence | None,
        before: Term | None,
    ) -> Tree | None:
        """Returns the tree at the end of a term, from the last object or the fence there.

        A fence that states more than the last object was put by a node whose files hold more.
        """
        stated = fence.header if fence is not None and fence.header.confirmed == end else None
        if end - 1 in slots:
            last = self._header(Place(number, end - 1))
            if not last.is_fence and (stated is None or stated.size <= last.size):
                return Tree(last.size, last.root)
        if stated is not None:
            return None if stated.root == NOTHING else Tree(stated.size, stated.root)
        if end == 0:
            return before.tree if before else None
        missing = key(self._of, Place(number, end - 1))
        raise Corrupt(missing, 0, "a confirmed write-ahead object", "none")

    def _header(self, place: Place) -> Header:
        known = self._headers.get(place)
        if known is not None:
            return known
        name = key(self._of, place)
        try:
            data = self._store.get_range(name, 0, MAX_HEADER + DIGEST_BYTES)
        except NoSuchObject as error:
            raise _Moved from error
        header = decode_header(data, name)
        check_place(header, self._of, place)
        if header.is_fence:
            self._digests[place] = decode(data, name).digest
        self._headers[place] = header
        return header


def check_place(header: Header, of: ShardName, place: Place) -> None:
    """Raises Corrupt where an object is not the one that its key says."""
    found = (header.of, header.term, header.slot)
    if found != (of, *place):
        expected = f"term {place.term}, slot {place.slot} of {of.origin}, {of.log}/{of.shard}"
        stated = f"term {header.term}, slot {header.slot} of {header.of.origin}"
        raise Corrupt(key(of, place), 0, expected, f"{stated}, {header.of.log}/{header.of.shard}")


def chain_backwards(view: View) -> Iterator[Place]:
    """Yields the places of the chain that are there without a hole, from its end backwards."""
    term: Term | None = view.terms.get(view.newest.number, view.newest)
    while term is not None:
        present = frozenset(term.slots)
        slot = term.end - 1
        while slot in present:
            yield Place(term.number, slot)
            slot -= 1
        if slot >= 0:
            return
        term = view.terms.get(term.number - 1)
