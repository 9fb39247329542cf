"""A shard that is written by its own thread, beside a model of all that it must hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import sleep

from fake_clock import FakeClock
from simulated_disk import SimulatedDisk
from tests.rfc6962 import NaiveTree

from muniment import kernel
from muniment.errors import NoSuchEntry
from muniment.log import Acknowledgement, Batch, Shard, ShardReader
from muniment.log.disk import Disk
from muniment.log.note import Signer
from muniment.log.tail import SegmentLimits

SIGNER = Signer("log.example/web/11111111", bytes(range(32)))
DIRECTORY = Path("web/11111111")
TINY = SegmentLimits(size=1_500, frames=4)
HEADER = b'{"at":"2026-01-02T03:04:05.678901Z"}\n'


def lines(*texts: str, id_: str | None = None) -> Batch:
    return Batch(kernel.pack_records([text.encode() for text in texts], HEADER), id_)


def entry(text: str) -> bytes:
    return HEADER + text.encode()


def new_shard(**arguments: object) -> tuple[Shard, SimulatedDisk]:
    """A new shard on a new simulated disk."""
    disk = SimulatedDisk()
    Shard.create(DIRECTORY, SIGNER, disk)
    return open_shard(disk, **arguments), disk


def open_shard(disk: Disk, directory: Path = DIRECTORY, **arguments: object) -> Shard:
    settings = {"log": "web", "clock": FakeClock(), "limits": TINY, **arguments}
    return Shard.open(directory, SIGNER, disk=disk, **settings)  # type: ignore[arg-type]


def take(shard: Shard, batch: Batch) -> Acknowledgement:
    """Submits a batch and waits for the answer."""
    return shard.submit(batch).result(timeout=60)


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for what the writer's thread does in its own time; fails after a minute."""
    for _ in range(30_000):
        if condition():
            return
        sleep(0.002)
    raise AssertionError("the writer did not come so far")


class Model:
    """All entries in memory, and the tree over them as RFC 6962 writes it down."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.entries = list(entries)
        self.tree = NaiveTree(entries)

    def tile(self, level: int, number: int, width: int) -> bytes:
        step = 256**level
        places = range(number * 256, number * 256 + width)
        return b"".join(self.tree.root(place * step, (place + 1) * step) for place in places)

    def bundle(self, number: int, width: int) -> bytes:
        found = self.entries[number * 256 : number * 256 + width]
        return b"".join(len(e).to_bytes(2, "big") + e for e in found)


def compare(reader: ShardReader, model: Model, sizes: Sequence[int]) -> None:
    """Everything that a reader gives is what the model says."""
    size = len(model.entries)
    assert [reader.entry(index) for index in range(size)] == model.entries
    for number in range(size // 256 + 1):
        for width in {1, 5, min(256, size - number * 256), 256}:
            whole = 0 < number * 256 + width <= size
            if whole and width > 0:
                assert reader.entry_bundle(number, width) == model.bundle(number, width)
                assert reader.tile(0, number, width) == model.tile(0, number, width)
            elif width > 0:
                assert_missing(reader, number, width)
    for width in range(1, size // 256 + 1):
        assert reader.tile(1, 0, width) == model.tile(1, 0, width)
    for old in sizes:
        assert reader.consistency_proof(old, size) == (
            [] if not old else model.tree.proof(old, size)
        )
        for index in {0, old // 2, old - 1} if old else ():
            assert reader.inclusion_proof(index, old) == model.tree.path(index, 0, old)


def assert_missing(reader: ShardReader, number: int, width: int) -> None:
    for call in (reader.entry_bundle, lambda n, w: reader.tile(0, n, w)):
        try:
            call(number, width)
        except NoSuchEntry:
            continue
        raise AssertionError(f"tile {number} of width {width} is not there yet")
