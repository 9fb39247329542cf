"""A shard of a few small sealed segments in a data directory, and an archive of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fake_clock import FakeClock
from simulator import SimulatedStore

from muniment import kernel
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.history import segment_names
from muniment.log.note import Signer
from muniment.log.tail import SegmentLimits
from muniment.store.archive import Archive, Cache, Destination, Rules
from muniment.store.archive.port import Record
from muniment.store.port import Mode, Store

LOG, SHARD = "edge", "0a1b2c3d"
SIGNER = Signer(f"log.example/{LOG}/{SHARD}", bytes(range(32)))
LIMITS = SegmentLimits(frames=2)
SEGMENTS = 5
MINUTE = 60.0


def make_shard(data: Path, segments: int = SEGMENTS) -> list[bytes]:
    """Writes a shard whose segments have two frames each; returns its entries."""
    directory = data / "logs" / LOG / SHARD
    directory.parent.mkdir(parents=True)
    Shard.create(directory, SIGNER)
    return grow(data, segments)


def grow(data: Path, segments: int) -> list[bytes]:
    """Adds that many segments, each with a checkpoint; returns the new entries."""
    entries: list[bytes] = []
    for number in range(segments):
        shard = Shard.open(data / "logs" / LOG / SHARD, SIGNER, log=LOG, limits=LIMITS)
        for half in range(2):
            records = [b"%d %d %d" % (shard.size, half, i) for i in range(97)]
            shard.submit(Batch(kernel.pack_records(records, b'{"n":%d}\n' % number))).result()
            entries += [b'{"n":%d}\n' % number + record for record in records]
        shard.close()
    return entries


def grow_at_once(data: Path, segments: int) -> None:
    """Adds that many segments faster than checkpoints come."""
    shard = Shard.open(data / "logs" / LOG / SHARD, SIGNER, log=LOG, limits=LIMITS)
    for number in range(segments * 2):
        shard.submit(Batch(kernel.pack_records([b"%d" % number], b"{}\n"))).result()
    shard.close()


@dataclass
class Node:
    """A data directory, its stores, and what an archive of it told."""

    data: Path
    stores: Sequence[Store]
    clock: FakeClock = field(default_factory=FakeClock)
    cache: Cache = field(default_factory=Cache)
    mode: Mode = Mode.OFF
    rules: dict[str, object] = field(default_factory=dict)
    told: list[tuple[str, Record]] = field(default_factory=list)
    covered: list[int] = field(default_factory=list)

    def archive(self) -> Archive:
        """A new archive, as the next process makes it."""
        rules = Rules(
            confirmed=lambda log, shard, size: self.covered.append(size),
            tell=lambda log, record: self.told.append((log, record)),
            **self.rules,  # type: ignore[arg-type]
        )
        return Archive(
            self.data,
            {LOG: [SHARD]},
            [Destination(store, self.mode) for store in self.stores],
            disk=PosixDisk(),
            clock=self.clock,
            rules=rules,
            cache=self.cache,
        )

    @property
    def directory(self) -> Path:
        return self.data / "logs" / LOG / SHARD

    @property
    def books(self) -> Path:
        return self.data / "archive"

    def sealed(self) -> list[Path]:
        """The sealed segments on the local disk."""
        names = segment_names(PosixDisk(), self.directory)
        return [self.directory / name for name in names[:-1]]

    @property
    def size(self) -> int:
        """The entries in sealed segments."""
        name = segment_names(PosixDisk(), self.directory)[-1]
        return int(name.removesuffix(".seg"))

    def lose_books(self) -> None:
        shutil.rmtree(self.books)

    def actions(self) -> list[object]:
        return [record["action"] for _, record in self.told]


def simulated(name: str = "primary", clock: FakeClock | None = None) -> SimulatedStore:
    """A versioned store with locks."""
    store = SimulatedStore(name, versioned=True, lockable=True, clock=clock or FakeClock())
    store.pause = lambda call: None
    return store


def settle(archive: Archive, rounds: int = 12) -> None:
    """Lets every lane make rounds until nothing is left, without threads."""
    for lane in archive.lanes:
        for _ in range(rounds):
            pause = lane._try_round()
            if pause == LOOK:
                break


LOOK = 10.0


def same_bytes(node: Node, store: SimulatedStore, originals: dict[str, bytes]) -> None:
    """All that was sealed is in the store, byte for byte, each under one version."""
    contents = store.backing.contents()
    prefix = f"logs/{LOG}/{SHARD}/"
    found = {k.removeprefix(prefix): v for k, v in contents.items() if k.endswith(".seg")}
    assert found == originals
    assert {k for k in contents if k.endswith(".tree")} == {
        prefix + name.replace(".seg", ".tree") for name in originals
    }
    assert contents[prefix + "verifier"] == (node.directory / "verifier").read_bytes()


def originals_of(node: Node) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in node.sealed()}
