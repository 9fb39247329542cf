"""The retention of one log: its state, and what is done for it; `follow` says when.

What was decided is put on record first, then brought to every store.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from muniment.clock import Clock, rfc3339
from muniment.errors import MunimentError
from muniment.log.disk import Disk
from muniment.store.archive.port import Destination
from muniment.store.names import segment_key, tree_key
from muniment.store.port import Mode
from muniment.store.retention.acts import EXTENDED, Acts, OpenShard
from muniment.store.retention.cover import LOST, Stop, cover, lost_holds
from muniment.store.retention.expire import Expiry, ShardState, trouble_of
from muniment.store.retention.hold import Hold
from muniment.store.retention.holds import Holds
from muniment.store.retention.record import Record
from muniment.store.retention.spread import extend, put_policies

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StoreState:
    """How far a store follows: the number of its policy, and locks extended since the start."""

    policy: int = 0
    extended: int = 0
    trouble: str = ""


@dataclass(slots=True)
class LogRetention:
    """The retention of one log. What puts entries or asks stores blocks.

    By the name of a store, `archived` are the keys that the archive was told to hold and `served`
    when it was given what; `agreeing` are the stores that record no longer retention.
    `unseen` says why new entries could not be looked through for objects on hold.
    """

    log: str
    record: Record
    holds: Holds
    shards: Mapping[str, OpenShard]
    stores: Sequence[Destination]
    acts: Acts
    expiries: Mapping[str, Expiry]
    clock: Clock
    states: dict[str, StoreState] = field(default_factory=dict)
    trouble: str = ""
    unseen: str = ""
    archived: dict[str, set[str]] = field(default_factory=dict)
    agreeing: set[str] = field(default_factory=set)
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
        return cls(log, record, holds, shards, stores, acts, expiries, clock)

    def minimum(self, shard: str) -> int:
        """The first entry of a shard that has not expired."""
        found = self.shards.get(shard)
        return found.shard.reader.minimum if found is not None else 0

    @property
    def shard_states(self) -> Mapping[str, ShardState]:
        """The expiry of each shard."""
        return {name: expiry.state for name, expiry in self.expiries.items()}

    @property
    def agreed(self) -> bool:
        """Whether every store was asked, and none has recorded a longer retention."""
        return all(to.store.name in self.agreeing for to in self.stores)

    def held(self, shard: str, first: int, size: int) -> bool:
        """Whether a segment is on legal hold; for any thread. See `Retention.held`."""
        if not self.holds.held(shard, first, size):
            return False
        for destination in self.stores:
            keys = {segment_key(self.log, shard, first), tree_key(self.log, shard, first)}
            self.archived.setdefault(destination.store.name, set()).update(keys)
        return True

    # On record

    def put_on_record(self) -> None:
        """Puts what was decided into the log: longer policies, holds, releases.

        Raises TryLater, OSError.
        """
        for policy in self.record.untold:
            older = [known for known in self.record.policies if known.number < policy.number]
            before = older[-1] if older else None
            record = {
                "time": policy.set,
                "actor": "muniment",
                "action": EXTENDED,
                "resource": {"name": self.log, "type": "log"},
                "outcome": "success",
                "message": f"retention: {policy}" + (f"; before: {before}" if before else ""),
                "policy": policy.number,
                "minimum_seconds": policy.minimum,
                "maximum_seconds": policy.maximum,
            }
            self.acts.put(record, f"{EXTENDED} {self.log} {policy.number} {policy.set}")
            self.record.tell(policy.number)
        for hold in self.holds:
            if not hold.on_record:
                self._record_placing(hold)
            if hold.ending:
                self._record_release(hold)

    def place(self, hold: Hold) -> Hold:
        """Places a hold: see `Retention.place`. Raises Conflict, TryLater."""
        return self._record_placing(self.holds.prepare(hold))

    def release(self, name: str, actor: str, reason: str) -> None:
        """Releases a hold: see `Retention.release`. Raises NotFound, InputError, TryLater."""
        self._record_release(self.holds.end(name, rfc3339(self.clock.now()), actor, reason))

    def _record_placing(self, hold: Hold) -> Hold:
        id_ = f"hold.place {hold.name} {hold.placed}"
        act = self.acts.put(hold.record(), id_, None, hold.actor)
        return self.holds.placed(hold.name, act.shard, act.first)

    def _record_release(self, hold: Hold) -> None:
        said = hold.ending
        id_ = f"hold.release {hold.name} {hold.placed} {said['time']}"
        self.acts.put(hold.release(), id_, None, said["actor"])
        self.holds.drop(hold.name)

    # In the stores

    def serve(self, destination: Destination, pause: float) -> None:
        """Brings policies and holds to a store: when they change, and after `pause` seconds."""
        name, now = destination.store.name, self.clock.monotonic()
        state = self.states.setdefault(name, StoreState())
        wanted = (self.record.current, tuple(self.holds))
        before = self.served.get(name)
        same = before is not None and before[1] == wanted and now < before[0] + pause
        if same and name not in self.archived:
            return
        try:
            longer = put_policies(self.record, destination, self.clock)
            if longer is None:
                self.agreeing.add(name)  # nothing expires before all stores agree
            else:
                self.agreeing.discard(name)
            state.extended += extend(self.record, destination, self.clock)
            state.policy = self.record.spread_to(name)
            self._cover(destination)
            said = f"{name} records a longer retention, {longer}: set it in [retention.{self.log}]"
            state.trouble = said if longer is not None else ""
            self.served[name] = (now, wanted)
        except (MunimentError, OSError) as error:
            state.trouble = trouble_of(error)
            _logger.warning("retention of %s in %s: %s", self.log, name, state.trouble)

    def _cover(self, destination: Destination) -> None:
        """Sets legal holds as the register says, and takes off those of ours that it does not.

        A store without locks gets none: there only this node keeps what is held.
        """
        if destination.mode is Mode.OFF:
            return
        name = destination.store.name
        known = self.record.placed_in(name)
        placed = known | self.archived.pop(name, set())
        if placed or any(True for _ in self.holds):
            try:
                lost = cover(self.log, self.holds, destination, self._boundaries(), placed)
            finally:
                self.record.note_placed(name, placed)
            gone = [key for key in lost if key in known]  # the archive sets the others itself
            if gone:
                record = lost_holds(self.log, name, gone)
                _logger.error("retention of %s: %s", self.log, record["message"])
                self.acts.put(record, f"{LOST} {name} {rfc3339(self.clock.now())}")

    def _boundaries(self) -> Stop:
        """Where segments end: at the next one of their shard."""
        known = {name: expiry.firsts() for name, expiry in self.expiries.items()}

        def stop(shard: str, first: int) -> int:
            firsts = known.get(shard, [])
            place = bisect_right(firsts, first)
            if place < len(firsts):
                return firsts[place]
            opened = self.shards.get(shard)
            return max(first + 1, opened.shard.size if opened is not None else 0)

        return stop
