"""Claiming a shard: the fence that ends the term of whoever wrote it before.

A fence is put with put-if-absent into the slot where the chain of the newest term ends. It is
believed only when a reading that began after it says that the newest term began with it: a put
that arrives late, in a slot that was cleaned meanwhile, succeeds and means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from muniment.clock import Clock
from muniment.errors import NoSuchObject, StoreFailing
from muniment.log.replica import Append
from muniment.settings.store import WalSettings
from muniment.store.port import Store
from muniment.store.wal.chain import Chain, read_record
from muniment.store.wal.clean import Cleaner
from muniment.store.wal.flight import Owner, fenced_by
from muniment.store.wal.header import NOTHING, Header, Kind
from muniment.store.wal.identity import ID_BYTES, Node
from muniment.store.wal.names import Place, ShardName, key
from muniment.store.wal.record import Encoded, encode
from muniment.store.wal.replica import WalReplica
from muniment.store.wal.scan import Tree, View, scan

Randomness = Callable[[int], bytes]
Pause = Callable[[float], None]

ROUNDS = 500
"""Readings of the chain until a claim is given up."""

FAILURES = 5
"""Calls in a row that the store may fail."""

AHEAD_AFTER = 3
"""Slots lost to a writer who is faster, until the fence goes ahead of him."""

PAUSE = 0.05
MAX_MARGIN = 4096


class Claim:
    """A shard that this process may write: until somebody else puts a fence into its term."""

    def __init__(self, store: Store, owner: Owner, view: View, clock: Clock) -> None:
        assert view.fence is not None
        self._store, self._owner, self._clock = store, owner, clock
        self._chain = Chain(store, owner.of, view)
        tree = view.newest.tree
        self.term = owner.term
        self.writer = owner.writer
        self.begun = tree is not None
        self.size = tree.size if tree else 0
        self.root = tree.root if tree else b""
        self.before: Header | None = None
        self.void = self._chain.void
        self._replica: WalReplica | None = None
        self._cleaner = Cleaner(store, owner.of, view, clock)

    @property
    def cleaned(self) -> int:
        """How many objects were removed since the claim."""
        return self._cleaner.removed

    @property
    def clean_failures(self) -> int:
        """How often the store failed the cleaner; it tries again."""
        return self._cleaner.failures

    def appends(self, from_size: int) -> Iterator[Append]:
        """Yields what a tree of `from_size` entries needs, of the terms before this one.

        See `Chain.appends`. Corrupt, with entries that are missing, can mean that the writer
        before has just archived and cleaned them: look into the archive again.
        """
        return self._chain.appends(from_size)

    def oldest_segment(self) -> int | None:
        """Returns the segment of the first append of the terms before that was not cleaned.

        None where none is left. All below it was confirmed. Raises Corrupt, StoreFailing.
        """
        return self._chain.oldest_segment()

    def replica(self, settings: WalSettings) -> WalReplica:
        """Returns the replica that writes this term; there is one."""
        assert self._replica is None
        self._replica = WalReplica(self._store, self._owner, settings, self._clock)
        self._cleaner.follow(self._replica.progress)
        return self._replica

    @property
    def writing(self) -> WalReplica | None:
        """The replica that writes this term, where there is one."""
        return self._replica

    def clean(self, covered: int) -> None:
        """Lets go of the objects of all segments that end at or below `covered` entries.

        These must be confirmed by the primary store. Returns at once; see `Cleaner`.
        """
        self._cleaner.clean(covered)

    def clean_up(self, covered: int) -> None:
        """Does what `clean` has done some time, for a shard that nobody claims again.

        Raises MunimentError: the rest stays.
        """
        self._cleaner.step(covered)

    def close(self) -> None:
        """Ends the cleaner."""
        self._cleaner.close()


def claim(
    store: Store,
    origin: str,
    log: str,
    shard: str,
    node: Node,
    *,
    clock: Clock,
    randomness: Randomness,
    take_over: bool = False,
    tree: Tree | None = None,
    pause: Pause = time.sleep,
) -> Claim:
    """Ends the newest term of a shard, and returns the next one.

    Without `take_over` only the node that wrote last may, or the first one ever. Where `tree` is
    larger than that of the chain, the fence states it: its entries are not in the store, and
    whoever comes later must have them from elsewhere. That it continues the chain's tree is for
    the caller to know. Raises Fenced naming the other node; StoreFailing where the store fails
    again and again (nothing is lost, and the claim can be made again); Corrupt where the chain is
    damaged.
    """
    of = ShardName(origin, log, shard)
    return _Contender(store, of, node, tree, clock, randomness, pause).claim(take_over)


class _Contender:
    """One attempt to become a shard's writer."""

    def __init__(
        self,
        store: Store,
        of: ShardName,
        node: Node,
        tree: Tree | None,
        clock: Clock,
        randomness: Randomness,
        pause: Pause,
    ) -> None:
        self._store, self._of, self._node, self._clock = store, of, node, clock
        self._tree = tree
        self._randomness, self._pause = randomness, pause
        self._writer = randomness(ID_BYTES)
        self._failures = 0
        self._lost = 0
        self._last: Place | None = None
        self._ahead: Place | None = None

    def claim(self, take_over: bool) -> Claim:
        before: Header | None = None
        owned = False
        for _ in range(ROUNDS):
            view = self._scan()
            if view is None:
                continue
            newest = view.fence.header if view.fence else None
            if newest is not None and newest.writer == self._writer:
                if owned:
                    return self._claimed(view, before)
                owned = True  # what stands before the fence is listed whole from now on
                continue
            before, owned = newest, False
            if newest is not None and newest.node.instance != self._node.instance and not take_over:
                raise fenced_by(newest)
            self._attack(view)
        raise StoreFailing(
            f"{self._of.log}/{self._of.shard}: the shard could not be claimed in {ROUNDS} rounds",
            reason="busy",
        )

    def _claimed(self, view: View, before: Header | None) -> Claim:
        assert view.fence is not None
        owner = Owner(self._of, self._node, view.newest.number, self._writer, view.fence.digest)
        made = Claim(self._store, owner, view, self._clock)
        made.before = before
        return made

    def _scan(self) -> View | None:
        try:
            view = scan(self._store, self._of, self._pause)
        except StoreFailing:
            self._failed()
            return None
        return view

    def _attack(self, view: View) -> None:
        """Puts a fence where the chain ends; ahead of a writer who is faster.

        A fence that stands ahead ends the term as soon as the writer comes to it. If he does not
        move, the next one goes to where he stands.
        """
        end = Place(view.newest.number, view.newest.end)
        moved = self._last is not None and self._last != end
        if moved and self._last is not None and self._last.term == end.term:
            self._lost += 1
        self._last = end
        if not moved or self._lost < AHEAD_AFTER:
            self._put(end, view, direct=True)
            return
        if self._ahead is None or self._ahead < end:
            margin = min(1 << self._lost, MAX_MARGIN)
            self._ahead = Place(end.term, max(view.newest.top, end.slot) + margin)
            self._put(self._ahead, view, direct=False)
        self._wait()

    def _put(self, place: Place, view: View, *, direct: bool) -> None:
        try:
            fence = self._fence(place, view, direct)
            self._store.put_if_absent(key(self._of, place), fence.data)
        except NoSuchObject:
            return  # the object before was cleaned while it was read: the chain has moved
        except StoreFailing:
            self._failed()
        else:
            self._failures = 0

    def _fence(self, place: Place, view: View, direct: bool) -> Encoded:
        newest = view.newest
        tree = newest.tree
        if self._tree is not None and (tree is None or tree.size < self._tree.size):
            tree = self._tree
        prev = NOTHING
        if direct and newest.end:
            prev = read_record(self._store, self._of, Place(newest.number, newest.end - 1)).digest
        elif direct and view.fence is not None:
            prev = view.fence.digest
        size = tree.size if tree else 0
        header = Header(
            Kind.FENCE,
            self._of,
            self._node,
            place.term,
            place.slot,
            confirmed=newest.end,
            writer=self._writer,
            prev=prev,
            at=self._clock.now(),
            first=size,
            size=size,
            root=tree.root if tree else NOTHING,
        )
        return encode(header)

    def _failed(self) -> None:
        """Counts a failure that is being handled; raises it again where there are too many."""
        self._failures += 1
        if self._failures >= FAILURES:
            raise
        self._wait()

    def _wait(self) -> None:
        jitter = self._randomness(1)[0] / 256
        self._pause(PAUSE * (0.5 + jitter) * (1 << self._failures))
