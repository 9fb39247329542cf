"""A log with one shard of small segments, its stores, and its retention, all simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

from live_shard import SIGNER, TINY, take
from pruning import HurryingClock, firsts
from simulated_disk import SimulatedDisk
from simulator import Call, SimulatedStore

from muniment import kernel
from muniment.clock import rfc3339
from muniment.log import Batch, Shard, ShardReader
from muniment.log.report import ShardReport
from muniment.log.segment import seal_place, segment_name
from muniment.log.verify import verify_shard
from muniment.settings.store import Retention as Wanted
from muniment.store.archive.port import Destination
from muniment.store.names import segment_key, tree_key
from muniment.store.port import Mode
from muniment.store.retention.acts import OpenShard
from muniment.store.retention.follow import Retention
from muniment.store.retention.log_retention import LogRetention
from muniment.store.retention.record import Retentions

LOG, SHARD = "web", "11111111"
DATA = Path("data")
DIRECTORY = DATA / "logs" / LOG / SHARD


class StandingClock(HurryingClock):
    """The time of day stands still; seconds run, so that checkpoints are due."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = timedelta()

    def now(self) -> datetime:
        return datetime.fromisoformat("2026-01-02T03:04:05+00:00") + self.passed


class KeptLog:
    """Open it, write, archive, let time pass, and do rounds."""

    def __init__(
        self,
        stores: int = 1,
        *,
        minimum: int | None = 60,
        maximum: int | None = 600,
        clock: StandingClock | None = None,
    ) -> None:
        self.clock = clock or StandingClock()
        self.disk = SimulatedDisk()
        self.wanted = Wanted(minimum=_seconds(minimum), maximum=_seconds(maximum))
        self.stores = [
            SimulatedStore(f"store-{n}", versioned=True, lockable=True, clock=self.clock)
            for n in range(stores)
        ]
        self.disk.make_directory(DIRECTORY.parent)
        Shard.create(DIRECTORY, SIGNER, self.disk)
        self.open()

    def open(self) -> None:
        """Opens shard and retention as a node does."""
        self.retentions = Retentions.open(DATA, [LOG], {LOG: self.wanted}, self.disk, self.clock)
        self.shard = Shard.open(
            DIRECTORY, SIGNER, log=LOG, disk=self.disk, clock=self.clock, limits=TINY
        )
        opened = {LOG: {SHARD: OpenShard(self.shard, DIRECTORY, SIGNER)}}
        self.retention = Retention.open(
            DATA,
            self.retentions,
            opened,
            self.destinations,
            "node",
            disk=self.disk,
            clock=self.clock,
        )

    @property
    def destinations(self) -> list[Destination]:
        return [Destination(store, Mode.COMPLIANCE) for store in self.stores]

    @property
    def one(self) -> LogRetention:
        return self.retention.logs[LOG]

    @property
    def minimum(self) -> int:
        return self.shard.reader.minimum

    def write(self, commits: int = 8, entries: int = 60) -> None:
        """Commits entries, received now, each commit published, and archives what is sealed."""
        for _ in range(commits):
            header = b'{"at":"%b"}\n' % rfc3339(self.clock.now()).encode()
            texts = [b"entry %d xxxxxxxx" % (self.shard.size + n) for n in range(entries)]
            found = take(self.shard, Batch(kernel.pack_records(texts, header)))
            assert self.shard.wait_published(found.first + found.count, 30)
        self.archive()

    def archive(self) -> None:
        """Puts sealed segments into all stores, as the archive does."""
        for first, stop in pairwise(self.firsts()):
            path = DIRECTORY / segment_name(first)
            if seal_place(self.disk, path) is None:
                continue
            for destination in self.destinations:
                store = destination.store
                lock = self.retentions.lock_for(LOG, self.clock.now(), destination.mode)
                for key, body in (
                    (tree_key(LOG, SHARD, first), b"companion"),
                    (segment_key(LOG, SHARD, first), self.disk.read(path)),
                ):
                    if store.head(key) is None:
                        store.put(key, body, lock=lock)
                        if self.retention.held(LOG, SHARD, first, stop):
                            store.hold(key, True)

    def firsts(self) -> list[int]:
        return firsts(self.disk, DIRECTORY)

    def archived(self, number: int = 0) -> list[int]:
        """The first indexes of the segments that a store has."""
        keys = self.stores[number].backing.contents()
        names = [key.rpartition("/")[2] for key in keys if key.endswith(".seg")]
        return sorted(int(name.removesuffix(".seg")) for name in names)

    def keys(self, suffix: str, number: int = 0) -> Sequence[str]:
        return [key for key in self.stores[number].backing.contents() if suffix in key]

    def round(self) -> None:
        self.retention.round(self.one)

    def passes(self, seconds: int) -> None:
        self.clock.passed += timedelta(seconds=seconds)

    def verify(self) -> ShardReport:
        return verify_shard(DIRECTORY, disk=self.disk)

    def restart(self, *, wanted: Wanted | None = None) -> None:
        """Closes everything well, and opens it again."""
        self.shard.close()
        self.wanted = wanted or self.wanted
        self.open()

    def reader(self) -> ShardReader:
        found = ShardReader(DIRECTORY, self.disk)
        found.advance(self.shard.size)
        return found

    def close(self) -> None:
        self.shard.close()

    def moments(self, act: Callable[[], None], random: Random) -> list[KeptLog]:
        """Does something, and returns the log as a power loss before each step leaves it.

        Steps are those of the disk and the calls of the stores that change something.
        """
        found: list[KeptLog] = []

        def snapshot() -> None:
            disk = self.disk.after_power_loss(random)
            stores = []
            for store in self.stores:
                with store.backing.mutex:
                    bucket = copy(store.backing)
                    bucket.keys = deepcopy(store.backing.keys)
                stores.append(SimulatedStore(store.name, bucket=bucket))
            found.append(self._at(disk, stores))

        def at_step(step: object) -> None:
            snapshot()

        def at_call(call: Call) -> None:
            if call.writes:
                snapshot()

        self.disk.plan = at_step
        for store in self.stores:
            store.faults.plan = at_call
        act()
        self.disk.plan = lambda step: None
        for store in self.stores:
            store.faults.clear()
        return found

    def _at(self, disk: SimulatedDisk, stores: list[SimulatedStore]) -> KeptLog:
        other = object.__new__(KeptLog)
        other.clock, other.wanted = self.clock, self.wanted
        other.disk, other.stores = disk, stores
        return other


def _seconds(value: int | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)
