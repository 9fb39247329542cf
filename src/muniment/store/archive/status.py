"""What an archive has done and what waits, as /metrics and the API show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from muniment.clock import Clock
from muniment.store.archive.health import Conflict
from muniment.store.archive.lane import Lane
from muniment.store.archive.segments import Segments


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a store is behind one shard; of attachments `shard` is `attachments`.

    `waiting` are segments or attachments, `waiting_bytes` theirs, `oldest` the seconds since the
    first of them was sealed. `objects` and `bytes` were confirmed since the start.
    """

    log: str
    shard: str
    waiting: int
    waiting_bytes: int
    oldest: float
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """One store: where, how it locks, how far behind, what failed since the start by reason.

    `trouble` says why not all is well, in words; `failing_since` is RFC 3339, or empty.
    """

    name: str
    url: str
    primary: bool
    lock: str
    lags: Sequence[Lag]
    failures: Mapping[str, int]
    conflicts: Sequence[Conflict]
    last_error: str
    failing_since: str
    trouble: str


@dataclass(frozen=True, slots=True)
class Evicted:
    """The segments of one shard that are in the store only."""

    log: str
    shard: str
    segments: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """All stores, the primary first, and what is evicted."""

    stores: Sequence[StoreStatus]
    evicted: Sequence[Evicted]


def status_of(lanes: Sequence[Lane], shelves: Iterable[Segments], clock: Clock) -> ArchiveStatus:
    """Returns the status of this moment."""
    now = clock.now().timestamp()
    stores = [
        StoreStatus(
            lane.to.store.name,
            lane.to.store.url,
            lane.primary,
            lane.to.mode.value,
            list(_lags(lane, now)),
            lane.health.failures,
            lane.health.conflicts,
            lane.health.last_error,
            lane.health.failing_since,
            lane.health.trouble,
        )
        for lane in lanes
    ]
    evicted = []
    for shelf in shelves:
        remote = shelf.evicted().values()
        evicted.append(
            Evicted(shelf.log, shelf.shard, len(remote), sum(one.length for one in remote))
        )
    return ArchiveStatus(stores, evicted)


def _lags(lane: Lane, now: float) -> Iterable[Lag]:
    for (log, shard), queue in lane.queues.items():
        waiting = list(queue.waiting.copy().values())
        since = min((one.since for one in waiting if one.since), default=now)
        yield Lag(
            log,
            shard,
            len(waiting),
            sum(one.length for one in waiting),
            max(0.0, now - since),
            queue.objects,
            queue.bytes,
        )
