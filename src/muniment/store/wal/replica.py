"""The replica of a shard in a store: a pipeline of write-ahead objects, several on their way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Lock, Thread, current_thread

from muniment.clock import Clock
from muniment.errors import MunimentError, TooLarge, Unavailable
from muniment.log.replica import Append, Stored
from muniment.settings.store import WalSettings
from muniment.store.port import Store
from muniment.store.wal.flight import Flight, Owner, Parcel, Waiting, attempt
from muniment.store.wal.header import MAX_BODY, Header

FIRST_DELAY, LAST_DELAY = 0.02, 2.0
"""Seconds between tries of one object: doubled each time, with jitter."""

JOIN_SECONDS = 1.0

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ReplicaMetrics:
    """Counts since the claim. `put_seconds` is the time that objects took, tries and pauses."""

    objects: int = 0
    bytes: int = 0
    appends: int = 0
    retries: int = 0
    put_seconds: float = 0.0


class WalReplica:
    """Implements `log.replica.Replica` on a term of a claimed shard.

    An append goes at once where nothing is under way; else it waits `gather` seconds for others,
    or until `group` bytes are together. What is held in memory is what the caller has given and
    was not told of yet (`held`): a caller that stops at some bound bounds it.
    """

    def __init__(self, store: Store, owner: Owner, settings: WalSettings, clock: Clock) -> None:
        self.metrics = ReplicaMetrics()
        self.held = 0
        self._store, self._owner, self._clock = store, owner, clock
        self._group, self._gather = int(settings.group), settings.gather
        self._patience = settings.patience
        self._flight = Flight(owner)
        self._changed = Condition()
        self._building = Lock()
        self._ended = self._closing = False
        self._oldest = 0.0
        self._since = 0.0
        self._reason = ""
        name = f"wal {owner.of.log}/{owner.of.shard}"
        self._teller = Thread(target=self._tell, name=f"{name} tell", daemon=True)
        self._workers = [
            Thread(target=self._work, name=f"{name} {number}", daemon=True)
            for number in range(settings.in_flight)
        ]
        for thread in (self._teller, *self._workers):
            thread.start()

    @property
    def trouble(self) -> str:
        """Why appends are not stored now, or nothing."""
        flight = self._flight
        if flight.error is not None:
            return flight.error.detail
        waited = self._clock.monotonic() - self._since
        if not flight.busy or waited < self._patience:
            return ""
        return self._reason or f"{self._store.name} has not answered for {waited:.0f} seconds"

    @property
    def fenced(self) -> str:
        """Who took the shard over and when, once that was met; else nothing."""
        error = self._flight.error
        return "" if error is None or isinstance(error, Unavailable) else error.detail

    def put(self, append: Append, stored: Stored) -> None:
        """Begins to store an append.

        Raises TooLarge for more than an object can hold, Unavailable once `close` was called.
        """
        waiting = Waiting(append, stored)
        if waiting.size > MAX_BODY:
            raise TooLarge(f"an append of {waiting.size:,} bytes fits into no write-ahead object")
        with self._changed:
            if self._closing:
                raise _closed()
            if not self._flight.queue:
                self._oldest = self._clock.monotonic()
            if not self._flight.busy:
                self._since = self._clock.monotonic()
            self.held += waiting.size
            self._flight.offer(waiting)
            self._changed.notify_all()

    def progress(self, ask: Callable[[Flight], int]) -> int:
        """Returns what `ask` says of the flight, which stands still meanwhile."""
        with self._changed:
            return ask(self._flight)

    def close(self, seconds: float) -> None:
        """Waits up to `seconds` for what is under way, gives up the rest, and ends the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._flight.busy, max(0.0, seconds))
            self._ended = True
            self._flight.abandon(_closed())
            self._changed.notify_all()
        for thread in (self._teller, *self._workers):
            if thread is not current_thread():
                thread.join(JOIN_SECONDS)  # one that waits for the store ends with its time-out

    def _work(self) -> None:
        while (parcel := self._next()) is not None:
            self._store_parcel(parcel)

    def _next(self) -> Parcel | None:
        """Returns the next object to store, once there is one; None at the end."""
        with self._building:  # one after the other: each object is linked to the one before
            with self._changed:
                if not self._wait_for_group():
                    return None
                draft = self._flight.take(self._group)
                self._oldest = self._clock.monotonic()
            if draft is None:
                return None
            self.metrics.appends += len(draft.waiting)
            return self._flight.launch(draft, self._clock.now())

    def _wait_for_group(self) -> bool:
        """Waits until appends should go; says whether there are any."""
        flight = self._flight
        while not self._ended and flight.error is None:
            if flight.queue and flight.wanted(1 << 64):
                waited = self._clock.monotonic() - self._oldest
                full = flight.queued >= self._group
                if full or not flight.under_way or self._closing or waited >= self._gather:
                    return True
                self._changed.wait(self._gather - waited)
            else:
                self._changed.wait()
        return False

    def _store_parcel(self, parcel: Parcel) -> None:
        slot, delay, tries = parcel.place.slot, FIRST_DELAY, 0
        started = self._clock.monotonic()
        while self._flight.wanted(slot):
            reason = ""
            try:
                fence = attempt(self._store, self._owner.of, parcel)
            except MunimentError as error:
                reason = error.detail
            except Exception as error:
                _logger.exception("%s: a put broke", parcel.name)
                reason = f"{type(error).__name__}"
            now = self._clock.monotonic()
            with self._changed:
                if not reason:
                    self._settle(slot, fence, now, len(parcel.data), now - started)
                    return
                self._reason = reason
                self.metrics.retries += 1
                jitter = parcel.digest[tries % len(parcel.digest)] / 256
                self._changed.wait_for(
                    lambda: not self._flight.wanted(slot), delay * (0.5 + jitter)
                )
            delay, tries = min(LAST_DELAY, 2 * delay), tries + 1

    def _settle(
        self, slot: int, fence: Header | None, now: float, size: int, seconds: float
    ) -> None:
        flight = self._flight
        before = flight.confirmed
        if fence is None:
            self.metrics.objects += 1
            self.metrics.bytes += size
            self.metrics.put_seconds += seconds
            flight.stored(slot, now)
        else:
            flight.fenced(slot, fence)
        if flight.confirmed > before:
            self._since, self._reason = now, ""
        self._changed.notify_all()

    def _tell(self) -> None:
        """Calls back, in order, without any lock."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._flight.due or self._ended)
                due = list(self._flight.due)
                self._flight.due.clear()
            if not due:
                return
            for told in due:
                try:
                    told.waiting.stored(told.error)
                except Exception:
                    _logger.exception("%s: an append's callback broke", self._owner.of.shard)
            with self._changed:
                self.held -= sum(told.waiting.size for told in due)
                self._changed.notify_all()


def _closed() -> Unavailable:
    return Unavailable("the write-ahead log is closed")
