"""A shard that another node would serve, and a mirror of it on a disk of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Protocol

from fake_clock import FakeClock
from simulated_disk import Fault, SimulatedDisk, always, at_first
from small_shard import DIRECTORY, SIGNER

from muniment import kernel
from muniment.errors import Corrupt, Expired, MunimentError, NoSuchEntry, StorageFailing
from muniment.fleet.mirror.pull import Puller
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Answer, Gone, Source
from muniment.fleet.mirror.witness import Witness
from muniment.log import Batch, Shard
from muniment.log.committer import Committer
from muniment.log.note import Signer
from muniment.log.raw import End, RawSegments
from muniment.log.recovery import open_tail
from muniment.log.segment import segment_name
from muniment.log.tail import SegmentLimits
from muniment.store.read_only import ReadOnlyShard

LOG, NAME = "a", "b"
PEER = "https://node-1.example:8470"


class Served(Protocol):
    """What a node has of a shard."""

    @property
    def raw(self) -> RawSegments: ...
    @property
    def size(self) -> int: ...
    def checkpoint(self) -> str | None: ...


class SimulatedSource:
    """A node that serves a shard; `spoil` changes its answers, `failing` is raised instead."""

    def __init__(self, shard: Served, name: str = PEER, most: int = 1 << 20) -> None:
        self.shard, self.name, self.most = shard, name, most
        self.spoil: Callable[[End, bytes], bytes] = lambda place, data: data
        self.failing: MunimentError | None = None
        self.asked = 0

    @property
    def size(self) -> int:
        return self.shard.size

    def read(self, log: str, shard: str, place: End, wait: float) -> Answer:
        assert (log, shard) == (LOG, NAME) and wait >= 0
        self.asked += 1
        if self.failing is not None:
            raise self.failing
        raw = self.shard.raw
        try:
            segment = raw.segment(place.segment)
        except NoSuchEntry:
            return Answer(b"", 0, False, self.size)
        except Expired as error:
            raise Gone(error.detail) from error
        data = raw.read(segment, place.offset, self.most)
        return Answer(self.spoil(place, data), segment.length, segment.ended, self.size)

    def checkpoint(self, log: str, shard: str) -> str | None:
        return self.shard.checkpoint()

    def tile(self, log: str, shard: str, level: int, number: int, width: int) -> bytes:
        found = self.shard.reader.tile(level, number, width)  # type: ignore[attr-defined]
        return bytes(found)


def records(count: int, seed: int = 1, length: int = 12, id_: str | None = None) -> Batch:
    """A batch of entries that do not compress."""
    random = Random(seed)
    return Batch(kernel.pack_records([random.randbytes(length) for _ in range(count)], b""), id_)


LIFE: Sequence[Batch | str] = [
    records(3, 1, id_="one"),
    "publish",
    records(270, 2),
    records(20, 3, 60_000),
    "publish",
    records(1, 4, id_="two"),
    "give up",
    records(2, 5),
    records(40, 6),
    "publish",
    "seal",
    records(300, 7),
    "give up",
    "publish",
    records(5, 8, id_="three"),
    "seal",
    records(2, 9),
    "publish",
]
"""Group commits; between them checkpoints, seals, and syncs that fail, so that a segment ends."""


def live(acts: Sequence[Batch | str] = LIFE, signer: Signer = SIGNER) -> SimulatedDisk:
    """Writes a shard through such a life; its writer died without a word."""
    disk = SimulatedDisk()
    Shard.create(DIRECTORY, signer, disk)
    tail = open_tail(disk, DIRECTORY, signer.verifier)
    committer = Committer(disk, DIRECTORY, signer, tail, SegmentLimits(frames=6))
    for act in acts:
        if isinstance(act, Batch):
            committer.commit([act], 0.0)
        elif act == "publish":
            committer.publish(0.0)
        elif act == "seal":
            committer.seal()
        else:
            _give_up(committer, disk)
    return disk.killed()


def _give_up(committer: Committer, disk: SimulatedDisk) -> None:
    assert committer.tail.segment is not None
    path = DIRECTORY / segment_name(committer.tail.segment.first)
    disk.plan = at_first("sync", path, Fault.DROPPED)
    try:
        committer.commit([records(2, 99)], 0.0)
    except StorageFailing:
        disk.plan = lambda step: None
        return
    raise AssertionError("the disk did not fail")


def shown(disk: SimulatedDisk, directory: Path = DIRECTORY) -> ReadOnlyShard:
    """A shard as a node serves it whose writer is gone."""
    return ReadOnlyShard(LOG, directory, disk)


def new_mirror(disk: SimulatedDisk | None = None, signer: Signer = SIGNER) -> MirroredShard:
    """A mirror without entries."""
    disk = disk or SimulatedDisk()
    MirroredShard.create(DIRECTORY, signer.verifier, disk)
    return MirroredShard.open(LOG, DIRECTORY, disk)


class Pulled:
    """A mirror with its puller, for steps by hand."""

    def __init__(self, shard: MirroredShard, *sources: Source) -> None:
        self.clock, self.shard, self.sources = FakeClock(), shard, list(sources)
        self.stopped: list[Corrupt] = []
        self.puller = Puller(
            shard, lambda: self.sources, self._stop, self.clock, Random(1), wait=10.0
        )

    def compare(self) -> None:
        """Asks all sources for their checkpoints, as is done now and then and in doubt."""
        Witness(lambda: [self.puller], lambda _: self.sources, self._stop, Random(1)).compare()

    def _stop(self, shard: MirroredShard, error: Corrupt) -> None:
        self.stopped.append(error)
        shard.stop(error.detail, "2026-01-01T00:00:00Z")

    def run(self, steps: int = 200) -> None:
        """Pulls until nothing more comes, or the mirror is stopped."""
        for _ in range(steps):
            if self.shard.problem:
                return
            pause = self.puller.step()
            if pause:
                return
            self.clock.seconds += 0.001
        raise AssertionError("it does not come to an end")


def always_failing(disk: SimulatedDisk, operation: str, path: Path) -> None:
    """Lets a kind of step fail from now on."""
    disk.plan = always(operation, path, Fault.FAILED)
