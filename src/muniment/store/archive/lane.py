"""The thread that carries to one store, at that store's pace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from threading import Event, Thread

from muniment.clock import Clock
from muniment.errors import EvidenceError, NoSuchObject, StoreFailing, StoreLocked, Unavailable
from muniment.log.shard import VERIFIER
from muniment.store.archive.books import Copy, Item
from muniment.store.archive.carry import Parcel, carry, read_back
from muniment.store.archive.health import Health
from muniment.store.archive.port import Destination, Rules
from muniment.store.archive.shelf import Shelf, Waiting, moment
from muniment.store.port import Lock, Mode

LOOK_SECONDS = 10.0
"""How often the disk is looked at where nobody says that something was sealed."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 120.0
"""Seconds between tries of a store that fails; each is drawn from half of it to all of it."""

EVIDENCE_SECONDS = 900.0
"""Between tries of an object that is not what it must be; others go on meanwhile."""

LOCAL_SECONDS = 30.0
"""Between tries of a file that the local disk does not give."""

EXTEND_SECONDS = 600.0
AT_A_TIME = 8
"""Objects of one shelf before the next one has its turn."""

_AHEAD = timedelta(days=1)
"""A shard's verifier is needed for as long as its newest segment; it is locked a day ahead."""

_LONG = timedelta(days=1)
"""An object that is so much older than the file here: the file was restored."""

_SOON = timedelta(seconds=5)
_log = logging.getLogger(__name__)

Turn = Callable[[], bool]


@dataclass(slots=True)
class Queue:
    """What waits of one shelf, and what was carried since the start."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0
    not_before: dict[str, float] = field(default_factory=dict)


class Lane:
    """Carries what is on the shelves to one store. `start` and `stop` belong to one thread.

    `after` is called at the end of each round, on this lane's thread: the primary's evicts then,
    and says whether it has more to do.
    """

    def __init__(
        self,
        to: Destination,
        shelves: Sequence[Shelf],
        stores: Mapping[str, object],
        rules: Rules,
        clock: Clock,
        *,
        primary: bool = False,
        after: Turn = lambda: False,
        random: Random | None = None,
    ) -> None:
        self.to, self.primary = to, primary
        self.queues = {(shelf.log, shelf.shard): Queue() for shelf in shelves}
        self.health = Health(to.store.name, sorted({s.log for s in shelves}), rules.tell, clock)
        self._shelves, self._stores, self._rules, self._clock = shelves, stores, rules, clock
        self._after, self._random = after, random or Random()  # noqa: S311 - jitter, no secret
        self._woken, self._stopping = Event(), Event()
        self._pause = FIRST_PAUSE
        self._extend_at = float("-inf")
        self._faltered = False
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begins to carry, on a thread."""
        self._thread = Thread(target=self._run, name=f"archive-{self.to.store.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Tells that there is something new. For any thread."""
        self._woken.set()

    def stop(self, seconds: float) -> None:
        """Ends the thread, between two pieces of what it does; waits that long for it."""
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def check(self) -> None:
        """Raises Unavailable where the lane is to stop."""
        if self._stopping.is_set():
            raise Unavailable("the archive stops")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            pause = self._try_round()
            self._woken.wait(pause) if pause == LOOK_SECONDS else self._stopping.wait(pause)

    def _try_round(self) -> float:
        """Makes a round, and returns how long to wait for the next one."""
        try:
            more = self.round()
        except StoreFailing as error:
            self.health.failed(error.reason, error.detail)
        except OSError as error:
            self.health.failed("local", f"{error.filename or ''}: {error.strerror or error}")
        except Unavailable:
            return 0.0
        except Exception as error:  # a fault here must not end the lane
            _log.exception("%s: the archive failed", self.to.store.name)
            self.health.failed("fault", type(error).__name__)
        else:
            self._pause = FIRST_PAUSE
            return 0.0 if more else LOOK_SECONDS
        pause = self._pause * self._random.uniform(0.5, 1)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause

    def round(self) -> bool:
        """Gives each shelf a turn; says whether something is left that could be carried at once.

        Raises StoreFailing where the store does not do it, OSError where the local disk does not.
        """
        more, self._faltered = False, False
        for shelf in self._shelves:
            try:
                if self.primary and shelf.incomplete:
                    shelf.recover()
                more |= self._serve(shelf)
            except EvidenceError as error:  # of one shard: others go on
                self.health.conflict(shelf.log, shelf.shard, "", error.detail)
            else:
                self.health.well(shelf.log, shelf.shard, "")
            shelf.books.flush()
        if self._clock.monotonic() >= self._extend_at:
            self._extend_all()
            self._extend_at = self._clock.monotonic() + EXTEND_SECONDS
        more |= self._after()
        if not self._faltered:
            self.health.recovered()
        if not more:
            for shelf in self._shelves:
                shelf.books.flush(now=True)
        return more

    def _serve(self, shelf: Shelf) -> bool:
        queue = self.queues[shelf.log, shelf.shard]
        queue.waiting = {one.name: one for one in shelf.waiting(self.to.store.name)}
        now = self._clock.monotonic()
        ready = [n for n in queue.waiting if queue.not_before.get(n, now) <= now]
        for name in ready[:AT_A_TIME]:
            self.check()
            if self._deliver(shelf, name, queue):
                del queue.waiting[name]
        return len(ready) > AT_A_TIME

    def _deliver(self, shelf: Shelf, name: str, queue: Queue) -> bool:
        """Carries one item; says whether the store has it now, for sure."""
        try:
            item = shelf.item(name)
            copy = self._carried(shelf, name, item)
        except (EvidenceError, NoSuchObject) as error:
            queue.not_before[name] = self._clock.monotonic() + EVIDENCE_SECONDS
            self.health.conflict(shelf.log, shelf.shard, name, error.detail)
            return False
        except StoreLocked as error:
            raise StoreFailing(error.detail, reason="refused") from error
        except OSError as error:  # of one file: others go on
            queue.not_before[name] = self._clock.monotonic() + LOCAL_SECONDS
            self._faltered = True
            self.health.failed("local", f"{error.filename or name}: {error.strerror or error}")
            return False
        with shelf.books.change():
            item.copies[self.to.store.name] = copy
        queue.not_before.pop(name, None)
        queue.objects += len(item.things)
        queue.bytes += item.length
        shelf.confirmed(name, self._stores)
        self.health.well(shelf.log, shelf.shard, name)
        return True

    def _carried(self, shelf: Shelf, name: str, item: Item) -> Copy:
        store, keys = self.to.store, shelf.keys(name)
        known = item.copies.get(store.name)
        if item.evicted and self.primary and known is not None:
            for key, version, thing in zip(keys, known.versions, item.things, strict=True):
                read_back(store, key, version, thing, self.check)
            return Copy(known.versions, known.until, self._now)
        lock, versions, locked = self._lock(shelf, name, item), [], True
        with shelf.bodies(name, item, store.name, self.check) as bodies:
            for key, body, thing in zip(keys, bodies, item.things, strict=True):
                found = carry(store, Parcel(key, thing, body, lock), self.check)
                versions.append(found.version)
                locked &= found.locked
                if found.over:
                    over = f"{found.over}; its first version is what it must be"
                    self.health.conflict(shelf.log, shelf.shard, f"over {name}", over)
                if found.modified is not None and found.modified < moment(item.since) - _LONG:
                    item.since = int(found.modified.timestamp())  # restored: sealed long ago
        if self.to.mode is not Mode.OFF and shelf.held(name, item):
            for key, version in zip(keys, versions, strict=True):
                store.write_once.hold(key, True, version=version)
        copy = Copy(versions, int(lock.until.timestamp()) if lock and locked else 0, self._now)
        self._extend(shelf, name, item, copy)
        return copy

    @property
    def _now(self) -> int:
        return max(1, int(self._clock.now().timestamp()))

    def _lock(self, shelf: Shelf, name: str, item: Item) -> Lock | None:
        """The lock that an item needs; None also where it would have ended already."""
        since = moment(item.since)
        if name == VERIFIER:
            since = self._clock.now() + _AHEAD
        lock = self._rules.lock_for(shelf.log, since, self.to.mode)
        if lock is None or lock.mode is Mode.OFF or lock.until <= self._clock.now() + _SOON:
            return None
        return lock

    def _extend_all(self) -> None:
        """Makes locks longer where the policy has grown since."""
        if self.to.mode is Mode.OFF:
            return
        for shelf in self._shelves:
            for name, item in shelf.books.items():
                copy = item.copies.get(self.to.store.name)
                if copy is None or not copy.confirmed:
                    continue
                try:
                    changed = self._extend(shelf, name, item, copy)
                except NoSuchObject as error:
                    self.health.conflict(shelf.log, shelf.shard, name, error.detail)
                    continue
                if changed:
                    with shelf.books.change():
                        item.copies[self.to.store.name] = copy

    def _extend(self, shelf: Shelf, name: str, item: Item, copy: Copy) -> bool:
        """Locks a copy for as long as is wanted now; says whether something changed."""
        lock = self._lock(shelf, name, item)
        if lock is None:
            return False
        until = int(lock.until.timestamp())
        slack = int(_AHEAD.total_seconds()) if name == VERIFIER else 0
        if copy.until and until <= copy.until + slack:
            return False
        for key, version in zip(shelf.keys(name), copy.versions, strict=True):
            self.check()
            try:
                self.to.store.write_once.extend(key, lock, version=version)
            except StoreLocked:
                continue  # it is locked harder or longer
        copy.until = until
        return True
