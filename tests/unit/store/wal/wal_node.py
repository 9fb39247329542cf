"""A node of the interleaving tests: claims, replays, writes, archives, cleans, crashes, sleeps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

from interleaving import World

from muniment.errors import Corrupt, Fenced, MunimentError, StoreFailing
from muniment.log.replica import Act, Append
from muniment.store.wal.claim import Claim, claim
from muniment.store.wal.clean import Cleaner
from muniment.store.wal.flight import Flight, Parcel, Waiting, attempt
from muniment.store.wal.identity import Node

SEGMENT = 6
"""Entries after which the model begins a new segment."""

SETTLE = 20.0


@dataclass
class Archive:
    """What the primary store has confirmed: the appends of sealed segments."""

    appends: list[Append] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.appends[-1].size if self.appends else 0


@dataclass
class History:
    """A shard as one node knows it: archived appends, then replayed or written ones."""

    appends: list[Append] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.appends[-1].size if self.appends else 0

    @property
    def root(self) -> bytes:
        return self.appends[-1].root if self.appends else bytes(32)

    @property
    def segment(self) -> int:
        return self.appends[-1].segment if self.appends else 0

    def plan(self, ident: str, entries: int) -> Append:
        segment = self.size if self.size - self.segment >= SEGMENT else self.segment
        frames = ident.encode()
        root = sha256(self.root + frames).digest()
        act = Act.GROUP if entries else Act.CHECKPOINT
        return Append(act, segment, self.size, self.size + entries, root, frames)

    def add(self, append: Append) -> None:
        """As a replay does: what is there already is not added."""
        assert append.first == self.size, (append, self.size)
        assert append.root == sha256(self.root + append.frames).digest(), "the tree forked"
        self.appends.append(append)


class WalNode:
    """One node. `told` is what all nodes were told is stored, in the order of telling."""

    def __init__(self, world: World, name: str, archive: Archive, told: list[Append]) -> None:
        self.world, self.name, self.archive, self.told = world, name, archive, told
        self.store = world.store(name)
        self.node = Node(name, sha256(name.encode()).digest()[:16])
        self.lives = 0
        self.fenced = 0

    def start(self, appends: int, workers: int) -> None:
        """Begins a life: a process that claims the shard and writes to it."""
        self.lives += 1
        life = Life(self, appends, workers)
        self.world.spawn(self.name, life.run)


class Life:
    """A process: from the claim until it is fenced, done, or killed."""

    def __init__(self, node: WalNode, appends: int, workers: int) -> None:
        self.node, self.world = node, node.world
        self.left, self.workers = appends, workers
        self.ident = f"{node.name}.{node.lives}"
        self.count = 0
        self.pending: list[Append] = []
        self.sealed = 0

    def run(self) -> None:
        claimed = self._claim()
        self.history = self._replay(claimed)
        self.sealed = self.node.archive.size
        self.flight = Flight(claimed._owner)
        self.flight.progress._statements.clear()
        self.cleaner = Cleaner(
            self.node.store, claimed._owner.of, claimed._chain._view, self.world.clock, SETTLE
        )
        self.cleaner.follow(lambda ask: ask(self.flight))
        for _ in range(self.workers):
            self.world.spawn(self.node.name, self._work)
        self.world.spawn(self.node.name, self._clean)

    def _claim(self) -> Claim:
        while True:
            try:
                return claim(
                    self.node.store,
                    "test.example",
                    "default",
                    "aa",
                    self.node.node,
                    clock=self.world.clock,
                    randomness=self.world.random.randbytes,
                    take_over=True,
                    pause=self._pause,
                )
            except StoreFailing:
                self._pause(1.0)

    def _pause(self, seconds: float) -> None:
        actor = self.world.current()
        if actor is not None:
            actor.sleep(seconds)

    def _replay(self, claimed: Claim) -> History:
        for _ in range(200):
            history = History(list(self.node.archive.appends))
            known = {one.frames for one in history.appends}
            try:
                for append in claimed.appends(history.size):
                    if append.frames not in known:
                        history.add(append)
            except StoreFailing:
                continue
            except Corrupt:
                if self.node.archive.size == history.size:
                    raise
                continue  # the node before archived and cleaned meanwhile
            return history
        raise AssertionError("the replay does not end")

    def _work(self) -> None:
        while self.flight.error is None:
            self._plan()
            draft = self.flight.take(self.world.random.choice((1, 1, 10_000)))
            if draft is None:
                if not self.left and not self.flight.busy:
                    return
                self._pause(0.5)
                continue
            parcel = self.flight.launch(draft, self.world.clock.now())
            self._store(parcel)
            self._tell()
        self._tell()

    def _plan(self) -> None:
        """Offers an append, as the log's writer does: planned ahead of what is stored."""
        while self.left and len(self.pending) < 2 * self.workers:
            self.left -= 1
            self.count += 1
            append = self.history.plan(
                f"{self.ident}.{self.count}", self.world.random.choice((0, 1, 2, 3))
            )
            self.history.add(append)
            self.pending.append(append)
            self.flight.offer(Waiting(append, lambda error: None))

    def _store(self, parcel: Parcel) -> None:
        slot = parcel.place.slot
        while self.flight.wanted(slot):
            try:
                fence = attempt(self.node.store, self.flight.owner.of, parcel)
            except MunimentError:
                self._pause(0.3)
                continue
            if fence is None:
                self.flight.stored(slot, self.world.clock.seconds)
            else:
                self.flight.fenced(slot, fence)
            return

    def _tell(self) -> None:
        while self.flight.due:
            told = self.flight.due.popleft()
            append = told.waiting.append
            self.pending.remove(append)
            if told.error is None:
                self.node.told.append(append)
                self._seal(append)
            else:
                assert isinstance(told.error, Fenced)
                self.node.fenced += 1

    def _seal(self, append: Append) -> None:
        """Archives what stands before the segment of an append that was just stored."""
        archive = self.node.archive
        if append.segment > archive.size and self.world.random.random() < 0.7:
            archive.appends = [one for one in self.history.appends if one.segment < append.segment]
            assert archive.size == append.segment

    def _clean(self) -> None:
        while self.left or self.flight.busy:
            if self.flight.error is not None and self.world.random.random() < 0.5:
                return
            self._pause(self.world.random.random() * 4)
            with suppress(MunimentError):
                self.cleaner.step(self.node.archive.size)
