"""The cleaner: write-ahead objects go when the segments that hold their appends are confirmed.

What it must leave, so that the end of a chain can be found by whoever comes (`scan`):

- every fence, for ever: a writer who slept for a year must still meet his;
- of its own, open term: objects that state as many confirmed slots as it removes, and these for
  `SETTLE` seconds before it relies on them: no reading of one page of a listing can then miss both
  the old statement and the new one;
- of a closed term: what its fence does not state to be confirmed.

A failure is not one of the log: the objects cost money, nothing else. It is counted and tried
again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Thread

from muniment.clock import Clock
from muniment.errors import MunimentError, NoSuchObject
from muniment.store.port import Store
from muniment.store.wal.flight import Flight
from muniment.store.wal.header import MAX_HEADER, Header, decode_header
from muniment.store.wal.names import Place, ShardName, key
from muniment.store.wal.scan import View

SETTLE = 120.0
"""Seconds; far above the time that a store takes to read one page of a listing."""

AT_ONCE = 4
CHUNK = 64
PAUSE = 0.1
"""Seconds between two chunks: at most 640 objects a second."""

LOOK_AGAIN = 5.0
LAST_DELAY = 60.0

Ask = Callable[[Callable[[Flight], int]], int]

_logger = logging.getLogger(__name__)


class Cleaner:
    """Removes the objects of one claim's term and of the terms before it."""

    def __init__(
        self, store: Store, of: ShardName, view: View, clock: Clock, settle: float = SETTLE
    ) -> None:
        self.removed = 0
        self.failures = 0
        self._store, self._of, self._clock, self._settle = store, of, clock, settle
        self._term = view.newest.number
        self._void: deque[Place] = deque()
        self._old: deque[Place] = deque()
        self._sort(view)
        self._blocked = -1
        self._own = 0
        self._ask: Ask | None = None
        self._covered = 0
        self._changed = Condition()
        self._ended = False
        self._thread: Thread | None = None

    def _sort(self, view: View) -> None:
        """Parts what the terms before hold: the void, and what a fence states to be confirmed."""
        for number in sorted(view.terms):
            term = view.terms[number]
            if number >= self._term or term.fence is None:
                continue
            stated = min(term.end, term.fence.header.confirmed)
            self._void.extend(Place(number, slot) for slot in term.slots if slot > term.end)
            self._old.extend(Place(number, slot) for slot in term.slots if slot < stated)

    def follow(self, ask: Ask) -> None:
        """Cleans the own term, too; `ask` is the replica's `progress`."""
        self._ask = ask

    def clean(self, covered: int) -> None:
        """Notes that all segments which end at or below `covered` are confirmed."""
        with self._changed:
            if self._ended:
                return
            self._covered = max(self._covered, covered)
            if self._thread is None:
                name = f"wal {self._of.log}/{self._of.shard} clean"
                self._thread = Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the thread; what is left is cleaned after the next claim."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LOOK_AGAIN)

    def _run(self) -> None:
        delay = LOOK_AGAIN
        while not self._ended:
            try:
                self.step(self._covered)
                delay = LOOK_AGAIN
            except MunimentError as error:
                self._failed(error.detail)
                delay = min(LAST_DELAY, 2 * delay)
            except Exception as error:
                _logger.exception("the cleaner broke")
                self._failed(type(error).__name__)
                delay = min(LAST_DELAY, 2 * delay)
            with self._changed:
                if not self._ended:
                    self._changed.wait(delay)

    def _failed(self, reason: str) -> None:
        self.failures += 1
        _logger.warning("%s: write-ahead objects stay for now: %s", self._of.shard, reason)

    def step(self, covered: int) -> None:
        """Removes what can be removed now. Raises MunimentError: the rest stays for later."""
        self._remove_void()
        if covered > self._blocked:
            self._remove_old(covered)
        if self._ask is not None:
            now = self._clock.monotonic()
            end = self._ask(lambda flight: flight.progress.removable(covered, now, self._settle))
            while self._own < end and not self._ended:
                last = min(end, self._own + CHUNK)
                self._remove([Place(self._term, slot) for slot in range(self._own, last)])
                self._own = last
            self._ask(lambda flight: flight.progress.forget(self._own))

    def _remove_void(self) -> None:
        while self._void and not self._ended:
            header = self._header(self._void[0])
            if header is not None and not header.is_fence:
                self._remove([self._void[0]])
            self._void.popleft()

    def _remove_old(self, covered: int) -> None:
        while self._old and not self._ended:
            header = self._header(self._old[0])
            if header is not None and not header.is_fence:
                if header.segment >= covered:
                    self._blocked = header.segment
                    return
                self._remove([self._old[0]])
            self._old.popleft()

    def _header(self, place: Place) -> Header | None:
        name = key(self._of, place)
        try:
            return decode_header(self._store.get_range(name, 0, MAX_HEADER), name)
        except NoSuchObject:
            return None

    def _remove(self, places: Sequence[Place]) -> None:
        """Removes some objects; raises where one of them stayed."""
        if len(places) == 1:
            self._store.remove(key(self._of, places[0]))
        else:
            with ThreadPoolExecutor(AT_ONCE, "wal clean") as pool:
                list(pool.map(lambda place: self._store.remove(key(self._of, place)), places))
        self.removed += len(places)
        with self._changed:
            if not self._ended and len(places) == CHUNK:
                self._changed.wait(PAUSE)
