"""The scripted life of a replicated shard, and the promises that hold whatever happened to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import sleep

from fake_clock import FakeClock
from live_shard import DIRECTORY, SIGNER, TINY, entry, lines, open_shard, take
from replicated_shard import reopened, replayed
from simulated_disk import PowerLoss, SimulatedDisk
from simulated_replica import SimulatedReplica

from muniment.errors import TryLater
from muniment.log import Acknowledgement, Batch, Shard
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Note
from muniment.log.replay import Replay
from muniment.log.replica import Append
from muniment.log.verify import verify_shard

SCRIPT: list[list[str]] = [
    ["a", "b"],
    [],
    ["c"],
    [str(number) for number in range(300)],
    ["d"],
    [],
    ["e" * 900],
    ["f" * 900],
    ["g"],
    ["g 2"],
    ["seal"],
    *([f"h {number}"] for number in range(6)),
    [],
    ["i"],
]
"""Batches, one after the other; [] lets the clock go on, so that a checkpoint is due; one asks for
a seal. Segments are sealed by their frames and their bytes too; a tile is completed."""


@dataclass(slots=True)
class ReplicatedLife:
    """A shard on this disk with this replica, and what was acknowledged.

    `opened` is the number of the first step after the shard was opened.
    """

    disk: SimulatedDisk
    replica: SimulatedReplica
    kept: list[tuple[list[bytes], Acknowledgement]] = field(default_factory=list)
    opened: int = 0

    def run(self) -> None:
        """Lives through the script; ends early where the machine goes off."""
        with suppress(PowerLoss):
            Shard.create(DIRECTORY, SIGNER, self.disk)
            clock = FakeClock()
            shard = open_shard(self.disk, replica=self.replica, clock=clock)
            self.opened = len(self.disk.steps)
            for number, texts in enumerate(SCRIPT):
                if not texts:
                    clock.seconds += 2
                elif texts == ["seal"]:
                    self._seal(shard)
                elif not self._take(shard, lines(*texts, id_=str(number)), texts):
                    return
            shard.close()
            self.disk.alive()
            assert shard.health.ok, shard.health

    def _seal(self, shard: Shard) -> None:
        shard.seal()
        while shard._writer._seal_asked and shard._writer._thread.is_alive():
            sleep(0.0002)

    def _take(self, shard: Shard, batch: Batch, texts: list[str]) -> bool:
        """Offers a batch until it is taken; says whether the machine is still on."""
        thread = shard._writer._thread
        while thread.is_alive():
            try:
                waiting = shard.submit(batch)
                while not waiting.done() and thread.is_alive():
                    sleep(0.0002)
                if waiting.done():
                    self.kept.append(([entry(text) for text in texts], waiting.result()))
                    return True
            except TryLater:
                sleep(0.0002)
        return False


def examine(disk: SimulatedDisk, life: ReplicatedLife) -> None:
    """The next start finds every promise kept, and so does a node that has the replica alone."""
    content = life.replica.content()
    if not (disk.exists(DIRECTORY.parent) and DIRECTORY.name in disk.names(DIRECTORY.parent)):
        assert not content and not life.kept
        return
    replay = Replay.open(DIRECTORY, SIGNER.verifier, disk)
    assert replay.size <= (content[-1].size if content else 0), "ahead of the replica"
    replay.close()
    examine_entries(life, content)
    shard, replica = reopened(disk, content)
    assert shard.size == (content[-1].size if content else 0)
    take(shard, lines("after"))
    shard.close()
    report = verify_shard(DIRECTORY, disk=disk, trust=[kept.receipt for _, kept in life.kept])
    assert [str(finding) for finding in report.findings] == []
    assert replayed(replica.content()).files() == disk.files()


def examine_entries(life: ReplicatedLife, content: list[Append]) -> None:
    """The replica alone gives every acknowledged entry once, where its receipt says."""
    disk = replayed(content)
    shard = open_shard(disk, limits=TINY)
    entries = list(all_entries(shard))
    shard.close()
    for kept, answer in life.kept:
        assert entries[answer.first : answer.first + answer.count] == kept
        assert entries.count(kept[0]) == 1
        note = Note.parse(answer.receipt)
        note.check([SIGNER.verifier])
        assert Checkpoint.parse(note.text).size >= answer.first + answer.count


def all_entries(shard: Shard) -> Iterator[bytes]:
    first = 0
    while first < shard.size:
        run = shard.reader.read(first).entries
        yield from run
        first += len(run)
