"""A shard of a few kilobytes that has everything: small enough to damage it bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simulated_disk import SimulatedDisk

from muniment import kernel
from muniment.log import Batch, Shard, ShardReader
from muniment.log.committer import CHECKPOINTS, Committer
from muniment.log.note import Signer
from muniment.log.recovery import open_tail
from muniment.log.report import Finding
from muniment.log.segment import segment_name
from muniment.log.tail import SegmentLimits
from muniment.log.verify import verify_shard

SIGNER = Signer("a/b", bytes(range(1, 33)))
OTHER = Signer("a/b", bytes(range(2, 34)))
DIRECTORY = Path("a/b")

GROUPS: list[list[Batch]] = [
    [Batch(kernel.pack_records([b"x"] * 250, b""))],
    [],
    [Batch(kernel.pack_records([b"1", b"2"], b'{"id":"n"}\n'), "n")],
    [Batch(kernel.pack_records([b"y"] * 9, b""))],
    [],
    [Batch(kernel.pack_records([b"z"] * 40, b""))],
    [Batch(kernel.pack_records([b"3"], b""))],
    [],
    [Batch(kernel.pack_records([b"4", b"5"], b""))],
]
"""Group commits; an empty one publishes. A segment is sealed after three frames of entries."""


@dataclass(frozen=True, slots=True)
class SmallShard:
    """The shard after a clean close, what it held at earlier moments, and its receipts."""

    disk: SimulatedDisk
    moments: list[SimulatedDisk]
    receipts: list[str]
    entries: list[bytes]


def live(groups: list[list[Batch]], signer: Signer = SIGNER) -> SmallShard:
    """Writes a shard and closes it cleanly."""
    disk = SimulatedDisk()
    Shard.create(DIRECTORY, signer, disk)
    tail = open_tail(disk, DIRECTORY, signer.verifier)
    committer = Committer(disk, DIRECTORY, signer, tail, SegmentLimits(frames=3))
    moments, receipts, entries = [disk.copy()], [], []
    for group in groups:
        receipts.append(committer.commit(group, 0.0) if group else committer.publish(0.0))
        entries += [
            e for batch in group for chunk in batch.chunks for e in kernel.unpack(chunk.payload)
        ]
        moments.append(disk.copy())
    committer.close(0.0)
    return SmallShard(disk, moments, receipts, entries)


SHARD = live(GROUPS)
FILES = SHARD.disk.files()
SEGMENTS = [DIRECTORY / segment_name(first) for first in (0, 261, 304)]
NOTES = DIRECTORY / CHECKPOINTS
TILES = DIRECTORY / "tiles" / "1"
VERIFIER = DIRECTORY / "verifier"


def findings(disk: SimulatedDisk, **arguments: object) -> list[Finding]:
    """What verification says of a shard."""
    return verify_shard(DIRECTORY, disk=disk, **arguments).findings  # type: ignore[arg-type]


def changed(path: Path, data: bytes | None) -> SimulatedDisk:
    """The shard with one file changed, or removed."""
    disk = SHARD.disk.copy()
    disk.poke(path, data)
    return disk


def named(disk: SimulatedDisk, *paths: Path) -> bool:
    """Whether a finding names one of the files."""
    return any(finding.file in {str(path) for path in paths} for finding in findings(disk))


def flips(data: bytes, start: int, stop: int) -> list[tuple[int, bytes]]:
    """The data with one bit changed, for each bit of the bytes in [start, stop)."""
    return [
        (offset, data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :])
        for offset in range(start, min(stop, len(data)))
        for bit in range(8)
    ]


def opens_unharmed(disk: SimulatedDisk) -> bool:
    """Whether a shard opens with all its entries and its last checkpoint; Corrupt refuses."""
    tail = open_tail(disk, DIRECTORY, SIGNER.verifier)
    tail.tiles.close()
    newest = SHARD.receipts[-1]
    whole = (len(SHARD.entries), kernel.root(_frontier(SHARD.entries)), newest)
    return (tail.size, tail.root, tail.pending or tail.published) == whole


def _frontier(entries: list[bytes]) -> bytes:
    chunks = kernel.pack_records(entries, b"")
    return kernel.extend(b"", 0, b"".join(chunk.leaves for chunk in chunks))[0]


def reader(disk: SimulatedDisk) -> ShardReader:
    """A reader of the whole shard."""
    reader = ShardReader(DIRECTORY, disk)
    reader.advance(len(SHARD.entries))
    return reader
