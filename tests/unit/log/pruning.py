"""Pruning a shard on a simulated disk, as the follower of retention does it."""

from __future__ import annotations

import json
from pathlib import Path

from fake_clock import FakeClock
from live_shard import DIRECTORY, SIGNER, take
from simulated_disk import SimulatedDisk

from muniment import kernel
from muniment.log import Batch, Shard
from muniment.log.disk import Disk, write_file
from muniment.log.history import segment_names
from muniment.log.pruned import EXPIRED, PRUNED, Pruned
from muniment.log.segment import segment_first

HEADER = b'{"at":"2026-01-02T03:04:05.678901Z","via":"muniment","as":"muniment"}\n'


class HurryingClock(FakeClock):
    """A clock on which a checkpoint is due whenever somebody looks."""

    def monotonic(self) -> float:
        self.seconds += 1.0
        return self.seconds


def firsts(disk: Disk, directory: Path = DIRECTORY) -> list[int]:
    found = (segment_first(name) for name in segment_names(disk, directory))
    return [first for first in found if first is not None]


def state_act(shard: Shard, minimum: int, **other: object) -> int:
    """Puts the act of expiry into the shard, under a checkpoint; returns its index."""
    root = shard.reader.root_at(minimum).hex()
    record = {"action": EXPIRED, "origin": SIGNER.verifier.name, "minimum": minimum, "root": root}
    text = json.dumps(record | other).encode()
    act = take(shard, Batch(kernel.pack_records([text], HEADER)))
    assert shard.wait_published(act.first + 1, 30)
    return act.first


def note_of(shard: Shard, minimum: int, act: int) -> Pruned:
    reader = shard.reader
    edge = reader.tile(0, minimum // 256, minimum % 256) if minimum % 256 else b""
    return Pruned.sign(SIGNER, minimum, act, reader.root_at(minimum), edge)


def prune(shard: Shard, disk: SimulatedDisk, minimum: int, *, remove: bool = True) -> Pruned:
    """Expires all below the beginning of a segment."""
    assert minimum in firsts(disk)
    note = note_of(shard, minimum, state_act(shard, minimum))
    write_file(disk, DIRECTORY / PRUNED, note.note.encode())
    shard.reader.refresh()
    if remove:
        remove_segments(disk, minimum)
    return note


def remove_segments(disk: SimulatedDisk, minimum: int) -> None:
    for name in segment_names(disk, DIRECTORY):
        first = segment_first(name)
        if first is not None and first < minimum:
            disk.remove(DIRECTORY / name)
