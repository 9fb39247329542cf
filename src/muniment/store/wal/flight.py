"""The order of a term's slots: what waits, what is under way, what its makers may be told.

No thread, no store, no clock: `replica` has those. Slots are given in order and stored in any; an
append is told of only when all slots before its own are stored. A fence in a slot ends the term:
what stands in the slots before it still counts, nothing behind it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from muniment.clock import rfc3339
from muniment.errors import Corrupt, Fenced, MunimentError, NoSuchObject, StoreFailing
from muniment.log.replica import Append, Stored
from muniment.store.bounded import get_at_most
from muniment.store.port import Store
from muniment.store.wal.header import APPEND_BYTES, DIGEST_BYTES, MAX_HEADER, Header
from muniment.store.wal.identity import Node
from muniment.store.wal.names import Place, ShardName, key
from muniment.store.wal.progress import Progress
from muniment.store.wal.record import decode, encode, header_of
from muniment.store.wal.scan import check_place


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has a term, and the SHA-256 of the fence that says so."""

    of: ShardName
    node: Node
    term: int
    writer: bytes
    fence: bytes


def fenced_by(header: Header) -> Fenced:
    """Returns the error that names who put a fence, and when."""
    at = rfc3339(header.at)
    return Fenced(f"the node {header.node.name!r} took {header.of.shard} over at {at}")


@dataclass(frozen=True, slots=True)
class Waiting:
    """An append, and who is to be told."""

    append: Append
    stored: Stored

    @property
    def size(self) -> int:
        """Bytes that it takes in an object."""
        return APPEND_BYTES + len(self.append.frames)


@dataclass(frozen=True, slots=True)
class Told:
    """A callback that is due."""

    waiting: Waiting
    error: MunimentError | None


@dataclass(frozen=True, slots=True)
class Draft:
    """Appends that got a slot, and how many slots were stored then."""

    slot: int
    confirmed: int
    waiting: Sequence[Waiting]


@dataclass(frozen=True, slots=True)
class Parcel:
    """An object to be stored."""

    place: Place
    name: str
    data: bytes
    digest: bytes


class Flight:
    """One term's objects. Not safe for several threads at once: its caller locks."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.progress = Progress()
        self.queue: deque[Waiting] = deque()
        self.queued = 0
        self.confirmed = 0
        self.due: deque[Told] = deque()
        self.error: MunimentError | None = None
        self._next = 0
        self._prev = owner.fence
        self._under_way: dict[int, Draft] = {}
        self._stored: set[int] = set()
        self._fence: tuple[int, MunimentError] | None = None

    @property
    def under_way(self) -> int:
        """How many objects have a slot, and are not confirmed."""
        return len(self._under_way)

    @property
    def busy(self) -> bool:
        """Whether there is an append that is neither confirmed nor given up."""
        return bool(self.queue or self._under_way)

    def offer(self, waiting: Waiting) -> None:
        """Takes an append, behind those before."""
        if self.error is not None:
            self.due.append(Told(waiting, self.error))
            return
        self.queue.append(waiting)
        self.queued += waiting.size

    def take(self, limit: int) -> Draft | None:
        """Gives the next slot to appends of up to `limit` bytes; to one, whatever it weighs."""
        if self._fence is not None or not self.queue:
            return None
        group, size = [self.queue.popleft()], 0
        size += group[0].size
        while self.queue and size + self.queue[0].size <= limit:
            size += self.queue[0].size
            group.append(self.queue.popleft())
        self.queued -= size
        draft = Draft(self._next, self.confirmed, group)
        self._under_way[self._next] = draft
        self._next += 1
        return draft

    def launch(self, draft: Draft, at: datetime) -> Parcel:
        """Makes a draft's object, linked to the one before: call it in the order of `take`.

        It touches nothing that the other methods touch, so it needs another lock than they do.
        """
        owner = self.owner
        appends = [one.append for one in draft.waiting]
        header = replace(
            header_of(appends, owner.of, owner.node, owner.writer, at),
            term=owner.term,
            slot=draft.slot,
            confirmed=draft.confirmed,
            prev=self._prev,
        )
        encoded = encode(header, appends)
        self._prev = encoded.digest
        place = Place(owner.term, draft.slot)
        return Parcel(place, key(owner.of, place), encoded.data, encoded.digest)

    def wanted(self, slot: int) -> bool:
        """Whether it is still of use to store a slot."""
        return self.error is None and (self._fence is None or slot < self._fence[0])

    def stored(self, slot: int, now: float) -> None:
        """Notes that a slot holds its object; makes callbacks due. `now` in seconds."""
        if self.error is not None:
            return
        self._stored.add(slot)
        while self.confirmed in self._stored:
            self._stored.remove(self.confirmed)
            draft = self._under_way.pop(self.confirmed)
            segment = draft.waiting[-1].append.segment
            self.progress.stored(draft.slot, segment, draft.confirmed, now)
            self.due.extend(Told(one, None) for one in draft.waiting)
            self.confirmed += 1
        self._meet_fence()

    def fenced(self, slot: int, header: Header) -> None:
        """Notes that somebody else's fence stands in a slot."""
        if self._fence is None or slot < self._fence[0]:
            self._fence = slot, fenced_by(header)
        self._meet_fence()

    def _meet_fence(self) -> None:
        if self._fence is not None and self._fence[0] <= self.confirmed:
            self.abandon(self._fence[1])

    def abandon(self, error: MunimentError) -> None:
        """Ends the term: all that is not confirmed is told the error, now and from now on."""
        if self.error is not None:
            return
        self.error = error
        for slot in sorted(self._under_way):
            self.due.extend(Told(one, error) for one in self._under_way[slot].waiting)
        self.due.extend(Told(one, error) for one in self.queue)
        self._under_way.clear()
        self._stored.clear()
        self.queue.clear()
        self.queued = 0


def attempt(store: Store, of: ShardName, parcel: Parcel) -> Header | None:
    """Tries once to store an object; returns None where it is there, or the fence that is.

    A slot that is taken is read: after a lost answer it holds these very bytes. Raises
    StoreFailing, Corrupt where something else stands there: try again.
    """
    if store.put_if_absent(parcel.name, parcel.data, sha256=parcel.digest) is not None:
        return None
    try:
        most = max(len(parcel.data), MAX_HEADER + DIGEST_BYTES)
        found = get_at_most(store, parcel.name, most)
    except NoSuchObject as error:
        detail = f"{parcel.name}: taken, and then gone"
        raise StoreFailing(detail, reason="busy", unknown=True) from error
    if found == parcel.data:
        return None
    record = decode(found, parcel.name)
    check_place(record.header, of, parcel.place)
    if not record.header.is_fence:
        raise Corrupt(parcel.name, 0, "this writer's object, or a fence", "another writer's")
    return record.header
