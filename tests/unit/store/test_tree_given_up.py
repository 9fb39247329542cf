"""A segment that the disk failed, and that was given up, is final too once another follows it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from shard_life import DIRECTORY, SIGNER, Life
from simulated_disk import Fault, SimulatedDisk, at_step

from muniment.log.committer import CHECKPOINTS
from muniment.log.history import segment_names
from muniment.store.tree import Companion, make_companion


def _steps() -> list[int]:
    """The syncs of segments in an unharmed life."""
    life = Life(SimulatedDisk())
    life.run()
    found = [s for s in life.disk.steps if s.operation == "sync" and s.path.suffix == ".seg"]
    return [step.number for step in found]


@pytest.mark.parametrize("step", _steps())
def test_companions_say_which_segments_were_given_up(step: int) -> None:
    disk = SimulatedDisk()
    disk.plan = at_step(step, Fault.DROPPED)
    life = Life(disk)
    life.run()
    names = segment_names(disk, DIRECTORY)[:-1]
    companions = [made(disk, DIRECTORY / name) for name in names]
    for before, after in pairwise(companions):
        assert before.size == after.first
        assert before.end == after.start
        assert after.after_failure == (not before.sealed)
    notes = "".join(note for companion in companions for note in companion.notes)
    assert disk.read(DIRECTORY / CHECKPOINTS).decode().startswith(notes)


def made(disk: SimulatedDisk, path: Path) -> Companion:
    companion = make_companion(disk, path, SIGNER.verifier)
    assert Companion.decode(companion.encode(), "c") == companion
    companion.check(SIGNER.verifier, "c")
    return companion
