"""The follower of retention: tells, spreads, holds and expires, for all logs of a node.

It works on a thread of its own, every hour by default and when it is woken. What it cannot do now
(a store does not answer, the log takes nothing) it says in `trouble`, and does in the next round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Lock as Mutex

from muniment.clock import Clock
from muniment.errors import MunimentError, NotFound, Unavailable
from muniment.log.disk import Disk
from muniment.store.archive.port import Destination
from muniment.store.retention.acts import OpenShard
from muniment.store.retention.expire import trouble_of
from muniment.store.retention.hold import Hold, What
from muniment.store.retention.holds import Holds
from muniment.store.retention.log_retention import LogRetention
from muniment.store.retention.ranges import Range
from muniment.store.retention.record import Retentions

PAUSE = timedelta(hours=1)
SOONEST = 1.0
"""Seconds between two rounds, whatever is due."""

AGAIN = 60.0
"""Seconds until holds are looked through again where search was not there; then twice as long."""

_logger = logging.getLogger(__name__)

Found = tuple[Mapping[str, list[Range]], Mapping[str, int]]
Resolve = Callable[[str, Hold, Mapping[str, int]], Awaitable[Found]]
"""Told a log, a hold and from which entry of each shard on: the ranges that it covers, and up to
which entry of each shard was looked."""


class Retention:
    """The retention of all logs. `place`, `release` and `round` block."""

    def __init__(
        self,
        logs: Mapping[str, LogRetention],
        clock: Clock,
        resolve: Resolve | None = None,
        pause: timedelta = PAUSE,
    ) -> None:
        self.logs = logs
        self.resolve = resolve
        self._clock, self._pause = clock, pause.total_seconds()
        self._mutex = Mutex()
        self._woken: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def open(
        cls,
        data: Path,
        retentions: Retentions,
        shards: Mapping[str, Mapping[str, OpenShard]],
        stores: Sequence[Destination],
        node: str,
        *,
        disk: Disk,
        clock: Clock,
        pause: timedelta = PAUSE,
    ) -> Retention:
        """Opens the registers of holds and puts everything together. Raises Corrupt, OSError.

        `shards` are the open ones by log; a log without any has no follower. Set `resolve` before
        `run`: without it, a hold on an object covers everything that is new.
        """
        logs = {}
        for log, opened in shards.items():
            readers = {name: one.shard.reader for name, one in opened.items()}
            holds = Holds.open(data, log, readers, disk)
            record = retentions.records[log]
            logs[log] = LogRetention.of(log, record, holds, opened, stores, node, disk, clock)
        return cls(logs, clock, pause=pause)

    def held(self, log: str, shard: str, first: int, size: int) -> bool:
        """Whether a segment is on legal hold; for any thread.

        Whoever asks before putting it into a store then sets the hold there.
        """
        one = self.logs.get(log)
        return one is not None and one.held(shard, first, size)

    def minimum(self, log: str, shard: str) -> int:
        """The first entry of a shard that has not expired; for any thread."""
        return self.logs[log].minimum(shard) if log in self.logs else 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Goes on until `stopping`."""
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        soon = AGAIN / 2
        while not stopping.is_set():
            self._woken.clear()
            again = False
            for one in self.logs.values():
                again |= await self._resolve_holds(one)
                await asyncio.to_thread(self.round, one)
            soon = min(2 * soon, self._pause) if again else AGAIN / 2
            rest = min(self._rest(), soon) if again else self._rest()
            waits = {asyncio.create_task(event.wait()) for event in (stopping, self._woken)}
            with suppress(TimeoutError):
                await asyncio.wait(waits, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
            for task in waits:
                task.cancel()

    def wake(self) -> None:
        """Makes the next round begin now; for any thread."""
        if self._loop is not None and self._woken is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._woken.set)

    def _rest(self) -> float:
        """Seconds to the next round: the pause, or until a segment is old enough."""
        now = self._clock.now()
        states = [s for one in self.logs.values() for s in one.shard_states.values()]
        due = [(state.next - now).total_seconds() for state in states if state.next is not None]
        return max(SOONEST, min([self._pause, *due]))

    async def _resolve_holds(self, one: LogRetention) -> bool:
        """Looks which new entries are about objects on hold; until then everything new is held.

        What keeps it from that is in the log's `unseen`. Returns whether to try again soon.
        """
        unseen, again = "", False
        for hold in one.holds:
            if hold.what is not What.OBJECT or self.resolve is None:
                continue
            try:
                ranges, seen = await self.resolve(one.log, hold, hold.seen)
                await asyncio.to_thread(one.holds.see, hold.name, ranges, seen)
            except (MunimentError, OSError) as error:
                if hold.name not in {kept.name for kept in one.holds}:
                    continue  # it was released meanwhile
                unseen = f"the hold {hold.name} was not looked through: {trouble_of(error)}"
                again |= isinstance(error, Unavailable)
        if unseen not in ("", one.unseen):
            _logger.warning("retention of %s: %s", one.log, unseen)
        one.unseen = unseen
        return again

    def round(self, one: LogRetention) -> None:
        """Does for one log what is to be done now; what cannot be done is in its states."""
        with self._mutex:
            one.trouble = one.unseen
            if not self._try(one, one.holds.find):
                return
            self._try(one, one.put_on_record)
            for destination in one.stores:
                self._try(one, partial(one.serve, destination, self._pause))
            if not one.agreed:
                return
            for expiry in one.expiries.values():
                self._try(one, expiry.round)

    def _try(self, one: LogRetention, act: Callable[[], None]) -> bool:
        try:
            act()
            return True
        except (MunimentError, OSError) as error:
            one.trouble = trouble_of(error)
            _logger.warning("retention of %s: %s", one.log, one.trouble)
        except Exception:
            one.trouble = "retention failed within Muniment; its log says why"
            _logger.exception("retention of %s failed", one.log)
        return False

    # Legal holds

    def place(self, log: str, hold: Hold) -> Hold:
        """Places a hold: counts at once, returns when it is on record. Raises Conflict, TryLater.

        A hold whose entry the log does not take now stays, and is put on record later.
        """
        placed = self._of(log).place(hold)
        self.wake()
        return placed

    def release(self, log: str, name: str, actor: str, reason: str) -> None:
        """Releases a hold, on record. Raises NotFound, TryLater: then it is released later."""
        self._of(log).release(name, actor, reason)
        self.wake()

    def _of(self, log: str) -> LogRetention:
        try:
            return self.logs[log]
        except KeyError:
            raise NotFound(f"there is no retention of a log {log[:80]!r} here") from None
