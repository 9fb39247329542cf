"""Whole shards over the write-ahead store: each node takes the shard from one that still writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from time import sleep

import pytest
from live_shard import DIRECTORY, SIGNER, TINY, entry, lines
from simulated_disk import SimulatedDisk
from simulator import Call, Fault, SimulatedStore

from muniment.clock import SystemClock
from muniment.errors import MunimentError, StoreFailing
from muniment.log import Shard
from muniment.log.replay import Replay
from muniment.log.verify import verify_shard
from muniment.settings.store import WalSettings
from muniment.store.wal import Claim, Node, claim

SETTINGS = WalSettings(url="file:///simulated")


@dataclass
class Owner:
    """A node that holds the shard, or thinks so."""

    store: SimulatedStore
    disk: SimulatedDisk
    claim: Claim
    shard: Shard

    @classmethod
    def take(cls, store: SimulatedStore, name: str, random: Random) -> Owner:
        """Claims the shard, makes its files on an empty disk from the store alone, opens it."""
        disk = SimulatedDisk()
        Shard.create(DIRECTORY, SIGNER, disk)
        while True:
            try:
                claimed = claim(
                    store,
                    SIGNER.verifier.name,
                    "web",
                    DIRECTORY.name,
                    Node(name, name.encode().ljust(16, b"-")),
                    clock=SystemClock(),
                    randomness=random.randbytes,
                    take_over=True,
                )
                replay = Replay.open(DIRECTORY, SIGNER.verifier, disk)
                for append in claimed.appends(replay.size):
                    replay.apply(append)
                replay.close()
                break
            except StoreFailing:
                continue
        replica = claimed.replica(SETTINGS)
        shard = Shard.open(DIRECTORY, SIGNER, log="web", disk=disk, limits=TINY, replica=replica)
        return cls(store, disk, claimed, shard)

    def close(self) -> None:
        self.shard.close()
        self.claim.close()


@dataclass
class Sender:
    """Sends lines, and remembers at which index each was acknowledged."""

    random: Random
    kept: dict[str, int] = field(default_factory=dict)

    def send(self, owner: Owner, name: str) -> list[tuple[str, object]]:
        """Sends without waiting; returns what is under way."""
        waiting = []
        for number in range(self.random.randrange(5, 50)):
            text = f"{name} {number}"
            waiting.append((text, owner.shard.submit(lines(text, id_=text))))
            if self.random.random() < 0.2:
                sleep(0.002)
        return waiting

    def hear(self, waiting: list[tuple[str, object]]) -> list[MunimentError]:
        """Takes the answers; returns the refusals."""
        refused = []
        for text, future in waiting:
            error = future.exception(60)  # type: ignore[attr-defined]
            if isinstance(error, MunimentError):
                refused.append(error)
            else:
                self.kept[text] = future.result().first  # type: ignore[attr-defined]
        return refused


def unsteady(random: Random) -> object:
    """Answers that are lost after the object was put, and refusals."""

    def plan(call: Call) -> Fault | None:
        if call.operation != "put_if_absent" or random.random() < 0.85:
            return None
        return random.choice([Fault.LOST, Fault.BUSY])

    return plan


def entries_of(shard: Shard) -> list[bytes]:
    entries: list[bytes] = []
    while len(entries) < shard.size:
        entries += shard.reader.read(len(entries)).entries
    return entries


@pytest.mark.parametrize("seed", range(8))
def test_a_shard_that_goes_from_node_to_node_under_load(seed: int) -> None:
    """What was acknowledged is there once, where it was said to be; no disk is ever carried on."""
    random = Random(seed)
    store = SimulatedStore("wal")
    store.faults.plan = unsteady(random)  # type: ignore[assignment]
    sender = Sender(random)
    owner = Owner.take(store, "node-0", random)
    for number in range(1, 4):
        waiting = sender.send(owner, f"{seed}.{number}")
        seen = store.seen_by(f"node-{number}")
        seen.faults.plan = unsteady(random)  # type: ignore[assignment]
        successor = Owner.take(seen, f"node-{number}", random)
        refused = sender.hear(waiting)
        assert owner.shard.fenced or not refused
        owner.close()
        entries = entries_of(successor.shard)
        assert {text: entries[first] for text, first in sender.kept.items()} == {
            text: entry(text) for text in sender.kept
        }
        assert len(set(entries)) == len(entries)
        assert entries_of(owner.shard) == entries[: owner.shard.size]
        assert verify_shard(DIRECTORY, disk=owner.disk).findings == []
        owner = successor
    sender.hear(sender.send(owner, f"{seed}.last"))
    owner.close()
    assert len(entries_of(owner.shard)) >= len(sender.kept)
    assert verify_shard(DIRECTORY, disk=owner.disk).findings == []
