"""The scripted life of one shard, and the promises that must hold after whatever happened to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from simulated_disk import SimulatedDisk

from muniment import kernel
from muniment.errors import StorageFailing
from muniment.log import Batch, Shard
from muniment.log.checkpoint import Checkpoint
from muniment.log.committer import Committer
from muniment.log.note import Note, Signer
from muniment.log.recovery import open_tail
from muniment.log.tail import SegmentLimits
from muniment.log.verify import verify_shard

Answer = TypeVar("Answer")

SIGNER = Signer("log.example/edge/0a1b2c3d", bytes(range(32)))
DIRECTORY = Path("logs/edge/0a1b2c3d")
LIMITS = SegmentLimits(size=9_500, frames=9)


def header(id_: str | None = None) -> bytes:
    text = "{}" if id_ is None else f'{{"id":"{id_}"}}'
    return text.encode() + b"\n"


def batch(number: int, count: int, length: int = 20, id_: str | None = None) -> Batch:
    """Entries that no other batch has and that do not compress; over 1 MiB it has many chunks."""
    stream = b"".join(sha256(b"%d %d" % (number, i)).digest() for i in range(count))
    records = [stream[32 * i : 32 * i + 32].ljust(length, b".")[:length] for i in range(count)]
    return Batch(kernel.pack_records(records, header(id_)), id_)


def entries_of(*batches: Batch) -> list[bytes]:
    return [e for batch in batches for chunk in batch.chunks for e in kernel.unpack(chunk.payload)]


SCRIPT: list[tuple[Batch, ...]] = [
    (batch(0, 3),),
    (),
    (batch(1, 2, id_="one"), batch(2, 1), batch(3, 2, id_="three")),
    (batch(4, 20, 60_000, "large"),),
    (batch(5, 120),),
    (),
    (batch(6, 100, id_="six"),),
    (batch(7, 1),),
    (),
    (batch(8, 20),),
    (batch(9, 40, id_="nine"),),
    (),
    *((batch(number, 4),) for number in range(10, 19)),
    (batch(19, 5),),
]
"""Group commits, one after the other; () publishes. Batch 4 fills two frames, 6 completes the
first hash of a tile, and two segments are sealed."""


@dataclass(slots=True)
class Kept:
    """A group commit that was acknowledged."""

    first: int
    entries: list[bytes]
    receipt: str


@dataclass(slots=True)
class Life:
    """What somebody outside was told by a shard on this disk."""

    disk: SimulatedDisk
    kept: list[Kept] = field(default_factory=list)
    offered: list[list[bytes]] = field(default_factory=list)
    acts: list[tuple[str, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    on_refusal: Callable[[], None] = lambda: None
    now: float = 0.0

    def run(self, script: Sequence[Sequence[Batch]] = SCRIPT, *, close: bool = True) -> None:
        """Lives through the script; a refused act is done again once the shard is mended."""
        self._act("create", lambda: create_unless_there(self.disk))
        committer = self._open()
        for group in script:
            self.now += 0.1
            if group:
                self._commit(committer, group)
            else:
                self._act("publish", lambda: committer.publish(self.now), committer)
        if close:
            self._close(committer)

    def resume(self) -> None:
        """The next process on the same disk: opens the shard, commits, publishes, commits."""
        self.run([(batch(50, 3),), (), (batch(51, 2, id_="resumed"),)], close=False)

    def _open(self) -> Committer:
        tail = self._act("open", lambda: open_tail(self.disk, DIRECTORY, SIGNER.verifier))
        return Committer(self.disk, DIRECTORY, SIGNER, tail, LIMITS)

    def _commit(self, committer: Committer, group: Sequence[Batch]) -> None:
        self.offered += [entries_of(batch) for batch in group]
        receipt = self._act("commit", lambda: committer.commit(group, self.now), committer)
        entries = entries_of(*group)
        self.kept.append(Kept(Checkpoint.of_note(receipt).size - len(entries), entries, receipt))

    def _close(self, committer: Committer) -> None:
        self.acts.append(("close", len(self.disk.steps)))
        try:
            committer.close(self.now)
        except StorageFailing:
            self.refused.append("close")
            self.on_refusal()

    def _act(
        self, name: str, call: Callable[[], Answer], committer: Committer | None = None
    ) -> Answer:
        for _ in range(8):
            self.acts.append((name, len(self.disk.steps)))
            try:
                return call()
            except (StorageFailing, OSError) as error:
                assert committer is None or isinstance(error, StorageFailing)
                self.refused.append(name)
                self.on_refusal()
            if committer is not None:
                with suppress(StorageFailing):
                    committer.mend(self.now)
        raise AssertionError(f"{name} is refused for ever")

    def act_at(self, step: int) -> str:
        """What was being done when a step came."""
        return [name for name, first in self.acts if first <= step][-1]


def create_unless_there(disk: SimulatedDisk) -> None:
    """As a node does at its start."""
    parent = DIRECTORY.parent
    if not disk.exists(parent) or DIRECTORY.name not in disk.names(parent):
        Shard.create(DIRECTORY, SIGNER, disk)


def examine(disk: SimulatedDisk, life: Life) -> int:
    """Opens the shard as the next process does and checks every promise; returns its size."""
    assert not life.kept or disk.exists(DIRECTORY), "the shard is gone"
    create_unless_there(disk)
    shard = Shard.open(DIRECTORY, SIGNER, log="edge", disk=disk, limits=LIMITS)
    shard.submit(batch(99, 3)).result()
    shard.close()
    assert shard.health.ok, shard.health
    entries: list[bytes] = []
    while len(entries) < shard.size:
        entries += shard.reader.read(len(entries)).entries
    _check_receipts(entries, life)
    _check_whole(entries, life)
    trust = [kept.receipt for kept in life.kept]
    report = verify_shard(DIRECTORY, disk=disk, trust=trust, keys=[SIGNER.verifier])
    assert [str(finding) for finding in report.findings] == []
    assert report.size == len(entries)
    return report.size


def _check_receipts(entries: Sequence[bytes], life: Life) -> None:
    """Each acknowledged entry is where it was said to be, under the root that was signed."""
    leaves = b"".join(sha256(b"\x00" + entry).digest() for entry in entries)
    frontier, size = b"", 0
    for kept in life.kept:
        end = kept.first + len(kept.entries)
        assert list(entries[kept.first : end]) == kept.entries
        frontier, _ = kernel.extend(frontier, size, leaves[32 * size : 32 * end])
        size = end
        note = Note.parse(kept.receipt)
        note.check([SIGNER.verifier])
        stated = Checkpoint(SIGNER.verifier.name, size, kernel.root(frontier))
        assert Checkpoint.parse(note.text) == stated


def _check_whole(entries: Sequence[bytes], life: Life) -> None:
    """What was not acknowledged is there as a whole batch, or as a record of what was cut off."""
    known = {offered[0]: offered for offered in [*life.offered, entries_of(batch(99, 3))]}
    place = 0
    while place < len(entries):
        entry = entries[place]
        if b'"via":"muniment"' in entry.partition(b"\n")[0]:
            place += 1
            continue
        offered = known[entry]
        assert list(entries[place : place + len(offered)]) == offered, f"half a batch at {place}"
        place += len(offered)
