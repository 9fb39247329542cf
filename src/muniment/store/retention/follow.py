"""The follower of retention: tells, spreads, holds and expires, for all logs of a node.

It works on a thread of its own, every hour by default and when it is woken. What it cannot do now
(a store does not answer, the log takes nothing) it says in `trouble`, and does in the next round.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Lock as Mutex

from muniment.clock import Clock, rfc3339
from muniment.errors import MunimentError, NotFound
from muniment.log.disk import Disk
from muniment.store.archive.port import Destination
from muniment.store.names import segment_key, tree_key
from muniment.store.port import Mode
from muniment.store.retention.acts import EXTENDED, Acts, OpenShard
from muniment.store.retention.cover import LOST, Stop, cover, lost_holds
from muniment.store.retention.expire import Expiry, ShardState, trouble_of
from muniment.store.retention.hold import Hold, What
from muniment.store.retention.holds import Holds
from muniment.store.retention.ranges import Range
from muniment.store.retention.record import Record, Retentions
from muniment.store.retention.spread import extend, put_policies

PAUSE = timedelta(hours=1)
SOONEST = 1.0
"""Seconds between two rounds, whatever is due."""

_logger = logging.getLogger(__name__)

Found = tuple[Mapping[str, list[Range]], Mapping[str, int]]
Resolve = Callable[[str, Hold, Mapping[str, int]], Awaitable[Found]]
"""Told a log, a hold and from which entry of each shard on: the ranges that it covers, and up to
which entry of each shard was looked."""


@dataclass(slots=True)
class StoreState:
    """How far a store follows: the number of its policy, and locks extended since the start."""

    policy: int = 0
    extended: int = 0
    trouble: str = ""


@dataclass(slots=True)
class LogRetention:
    """The retention of one log."""

    log: str
    record: Record
    holds: Holds
    shards: Mapping[str, OpenShard]
    stores: Sequence[Destination]
    acts: Acts
    expiries: Mapping[str, Expiry]
    states: dict[str, StoreState] = field(default_factory=dict)
    trouble: str = ""
    archived: dict[str, set[str]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    served: dict[str, tuple[float, object]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        log: str,
        record: Record,
        holds: Holds,
        shards: Mapping[str, OpenShard],
        stores: Sequence[Destination],
        node: str,
        disk: Disk,
        clock: Clock,
    ) -> LogRetention:
        """Puts the parts of a log's retention together."""
        acts = Acts(log, shards, node, clock)
        expiries = {
            name: Expiry(one, record, holds, acts, stores, disk, clock)
            for name, one in shards.items()
        }
        return cls(log, record, holds, shards, stores, acts, expiries)

    def minimum(self, shard: str) -> int:
        """The first entry of a shard that has not expired."""
        found = self.shards.get(shard)
        return found.shard.reader.minimum if found is not None else 0

    @property
    def shard_states(self) -> Mapping[str, ShardState]:
        """The expiry of each shard."""
        return {name: expiry.state for name, expiry in self.expiries.items()}


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
        if one is None or not one.holds.held(shard, first, size):
            return False
        for destination in one.stores:
            keys = {segment_key(log, shard, first), tree_key(log, shard, first)}
            one.archived.setdefault(destination.store.name, set()).update(keys)
        return True

    def minimum(self, log: str, shard: str) -> int:
        """The first entry of a shard that has not expired; for any thread."""
        return self.logs[log].minimum(shard) if log in self.logs else 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Goes on until `stopping`."""
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        while not stopping.is_set():
            self._woken.clear()
            for one in self.logs.values():
                await self._resolve_holds(one)
                await asyncio.to_thread(self.round, one)
            waits = {asyncio.create_task(event.wait()) for event in (stopping, self._woken)}
            with suppress(TimeoutError):
                await asyncio.wait(waits, timeout=self._rest(), return_when=asyncio.FIRST_COMPLETED)
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

    async def _resolve_holds(self, one: LogRetention) -> None:
        """Looks which new entries are about objects on hold."""
        for hold in one.holds:
            if hold.what is not What.OBJECT or self.resolve is None:
                continue
            try:
                ranges, seen = await self.resolve(one.log, hold, hold.seen)
                await asyncio.to_thread(one.holds.see, hold.name, ranges, seen)
            except (MunimentError, OSError) as error:
                one.trouble = f"the hold {hold.name} was not looked through: {trouble_of(error)}"

    def round(self, one: LogRetention) -> None:
        """Does for one log what is to be done now; what cannot be done is in its states."""
        with self._mutex:
            one.trouble = ""
            if not self._try(one, one.holds.find):
                return
            self._try(one, lambda: self._put_on_record(one))
            for destination in one.stores:
                self._try(one, partial(self._serve, one, destination))
            if any(to.store.name not in one.asked for to in one.stores):
                return  # one of them may have recorded a longer retention
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

    def _put_on_record(self, one: LogRetention) -> None:
        """Puts what was decided into the log: longer policies, holds, releases."""
        for policy in one.record.untold:
            older = [known for known in one.record.policies if known.number < policy.number]
            before = older[-1] if older else None
            record = {
                "time": policy.set,
                "actor": "muniment",
                "action": EXTENDED,
                "resource": {"name": one.log, "type": "log"},
                "outcome": "success",
                "message": f"retention: {policy}" + (f"; before: {before}" if before else ""),
                "policy": policy.number,
                "minimum_seconds": policy.minimum,
                "maximum_seconds": policy.maximum,
            }
            one.acts.put(record, f"{EXTENDED} {one.log} {policy.number} {policy.set}")
            one.record.tell(policy.number)
        for hold in one.holds:
            if not hold.on_record:
                self._record_placing(one, hold)
            if hold.ending:
                self._record_release(one, hold)

    def _serve(self, one: LogRetention, destination: Destination) -> None:
        """Brings policies and holds to a store: when they have changed, and once in a while."""
        name, now = destination.store.name, self._clock.monotonic()
        state = one.states.setdefault(name, StoreState())
        wanted = (one.record.current, tuple(one.holds))
        before = one.served.get(name)
        same = before is not None and before[1] == wanted and now < before[0] + self._pause
        if same and name not in one.archived:
            return
        try:
            longer = put_policies(one.record, destination, self._clock)
            if longer is None:
                one.asked.add(name)  # nothing expires before all stores agree
            else:
                one.asked.discard(name)
            state.extended += extend(one.record, destination, self._clock)
            state.policy = one.record.spread_to(name)
            self._cover(one, destination)
            state.trouble = (
                ""
                if longer is None
                else f"{name} records a longer retention, {longer}: set it in [retention.{one.log}]"
            )
            one.served[name] = (now, wanted)
        except (MunimentError, OSError) as error:
            state.trouble = trouble_of(error)
            _logger.warning("retention of %s in %s: %s", one.log, name, state.trouble)

    def _cover(self, one: LogRetention, destination: Destination) -> None:
        """Sets legal holds as the register says, and takes off those of ours that it does not.

        A store without locks gets none: there only this node keeps what is held.
        """
        if destination.mode is Mode.OFF:
            return
        name = destination.store.name
        known = one.record.placed_in(name)
        placed = known | one.archived.pop(name, set())
        if placed or any(True for _ in one.holds):
            try:
                lost = cover(one.log, one.holds, destination, self._boundaries(one), placed)
            finally:
                one.record.note_placed(name, placed)
            gone = [key for key in lost if key in known]  # the archive sets the others itself
            if gone:
                record = lost_holds(one.log, name, gone)
                _logger.error("retention of %s: %s", one.log, record["message"])
                one.acts.put(record, f"{LOST} {name} {rfc3339(self._clock.now())}")

    def _boundaries(self, one: LogRetention) -> Stop:
        """Where segments end: at the next one of their shard."""
        known = {name: expiry.firsts() for name, expiry in one.expiries.items()}

        def stop(shard: str, first: int) -> int:
            firsts = known.get(shard, [])
            place = bisect_right(firsts, first)
            if place < len(firsts):
                return firsts[place]
            opened = one.shards.get(shard)
            return max(first + 1, opened.shard.size if opened is not None else 0)

        return stop

    # Legal holds

    def place(self, log: str, hold: Hold) -> Hold:
        """Places a hold: counts at once, returns when it is on record. Raises Conflict, TryLater.

        A hold whose entry the log does not take now stays, and is put on record later.
        """
        one = self._of(log)
        placed = self._record_placing(one, one.holds.prepare(hold))
        self.wake()
        return placed

    def release(self, log: str, name: str, actor: str, reason: str) -> None:
        """Releases a hold, on record. Raises NotFound, TryLater: then it is released later."""
        one = self._of(log)
        hold = one.holds.end(name, rfc3339(self._clock.now()), actor, reason)
        self._record_release(one, hold)
        self.wake()

    def _record_placing(self, one: LogRetention, hold: Hold) -> Hold:
        act = one.acts.put(hold.record(), f"hold.place {hold.name} {hold.placed}", None, hold.actor)
        return one.holds.placed(hold.name, act.shard, act.first)

    def _record_release(self, one: LogRetention, hold: Hold) -> None:
        said = hold.ending
        id_ = f"hold.release {hold.name} {hold.placed} {said['time']}"
        one.acts.put(hold.release(), id_, None, said["actor"])
        one.holds.drop(hold.name)

    def _of(self, log: str) -> LogRetention:
        try:
            return self.logs[log]
        except KeyError:
            raise NotFound(f"there is no retention of a log {log[:80]!r} here") from None
