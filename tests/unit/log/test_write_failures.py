"""The table of failures: each step of a shard's life fails in each way it can.

For each it is said which act is refused. Then the process ends, or the power goes, and the next
start must find all that was acknowledged, whole batches only, and a shard that verifies and goes
on. `shard_life.examine` checks that.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from shard_life import DIRECTORY, SIGNER, Life, examine
from simulated_disk import Fault, PowerLoss, SimulatedDisk, Step, at_step

from muniment.log.recovery import open_tail


def _unharmed() -> Life:
    life = Life(SimulatedDisk())
    life.run()
    assert life.refused == []
    return life


UNHARMED = _unharmed()
STEPS = UNHARMED.disk.steps


def ways(step: Step) -> list[Fault]:
    """How a step can fail while the machine stays on."""
    kinds = {"write": [Fault.TORN], "sync": [Fault.DROPPED]}
    return [Fault.FAILED, Fault.PERSISTED, *kinds.get(step.operation, [])]


TABLE = [(step, fault) for step in STEPS for fault in ways(step)]
NAMES = [f"{s.number}-{s.operation}-{s.path.name}-{fault.name}" for s, fault in TABLE]


def refused_acts(step: Step) -> list[str]:
    """What a failure at a step refuses: the act it belongs to, but tiles never stop a commit."""
    act = UNHARMED.act_at(step.number)
    tiles = step.path.parent.name == "tiles"
    return [] if tiles and act == "commit" else [act]


def lived(disk: SimulatedDisk) -> Life:
    """The life on a disk as far as the machine stays on, and the disk for the next process."""
    life = Life(disk)
    with suppress(PowerLoss):
        life.run()
    life.disk = disk.killed()
    return life


def test_the_life_has_every_kind_of_step() -> None:
    operations = {(step.operation, step.path.suffix or step.path.name) for step in STEPS}
    assert {("write", ".seg"), ("sync", ".seg"), ("seal", ".seg"), ("write", "checkpoints")} < (
        operations
    )
    assert {("write", "1"), ("sync", "1"), ("sync_directory", "tiles")} < operations
    assert {("rename", "checkpoints"), ("rename", "verifier")} < operations


@pytest.mark.parametrize(("step", "fault"), TABLE, ids=NAMES)
def test_a_failed_step(step: Step, fault: Fault) -> None:
    disk = SimulatedDisk()
    disk.plan = at_step(step.number, fault)
    life = Life(disk)
    life.run()
    assert life.refused == refused_acts(step)
    assert len(life.kept) == len(UNHARMED.kept)
    disk.plan = lambda step: None
    for seed in range(2):
        examine(disk.after_power_loss(Random(seed)), life)
    examine(disk, life)


@pytest.mark.parametrize(("step", "fault"), TABLE, ids=NAMES)
def test_power_loss_soon_after_a_failed_step(step: Step, fault: Fault) -> None:
    for later in (1, 2, 5):
        disk = SimulatedDisk()
        faults = {step.number: fault, step.number + later: Fault.POWER}
        disk.plan = lambda step, faults=faults: faults.get(step.number)
        life = lived(disk)
        examine(life.disk.after_power_loss(Random(step.number + later)), life)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.number}-{step.operation}")
def test_power_loss_at_a_step(step: Step) -> None:
    disk = SimulatedDisk()
    disk.plan = at_step(step.number, Fault.POWER)
    life = lived(disk)
    for seed in range(5):
        examine(life.disk.after_power_loss(Random(seed)), life)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.number}-{step.operation}")
def test_a_killed_process_and_a_power_loss_during_the_next_start(step: Step) -> None:
    disk = SimulatedDisk()
    disk.plan = at_step(step.number, Fault.POWER)
    life = lived(disk)
    examine(life.disk, life)
    for later in range(step.number % 4, 18, 6):
        disk = SimulatedDisk()
        disk.plan = at_step(step.number, Fault.POWER)
        life = lived(disk)
        life.disk.plan = at_step(later, Fault.POWER)
        reopened_until_power_loss(life)
        examine(life.disk.killed().after_power_loss(Random(later)), life)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.number}-{step.operation}")
def test_what_a_start_builds_upon_is_durable(step: Step) -> None:
    """A killed process leaves bytes that no sync has covered; the next one counts them."""
    disk = SimulatedDisk()
    disk.plan = at_step(step.number, Fault.POWER)
    disk = lived(disk).disk
    if not disk.exists(DIRECTORY):
        return
    tail = open_tail(disk, DIRECTORY, SIGNER.verifier)
    for seed in range(5):
        again = open_tail(disk.after_power_loss(Random(seed)), DIRECTORY, SIGNER.verifier)
        assert (again.size, again.root) == (tail.size, tail.root)
        assert (again.published, again.pending) == (tail.published, tail.pending)


SYNCS = [step for step in STEPS if step.operation == "sync" and step.path.suffix == ".seg"]


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.PERSISTED, Fault.DROPPED])
@pytest.mark.parametrize("step", SYNCS, ids=lambda step: str(step.number))
def test_a_start_does_not_trust_a_file_whose_sync_had_failed(step: Step, fault: Fault) -> None:
    """The process dies before it can cut the file back; a later sync of it says nothing."""
    for later in range(1, 4):
        disk = SimulatedDisk()
        faults = {step.number: fault, step.number + later: Fault.POWER}
        disk.plan = lambda step, faults=faults: faults.get(step.number)
        life = lived(disk)
        life.resume()
        for seed in range(4):
            examine(life.disk.after_power_loss(Random(seed)), life)


def reopened_until_power_loss(life: Life) -> None:
    """The next process starts on what the killed one left, and is stopped as planned."""
    with suppress(PowerLoss):
        life.resume()


def test_a_full_disk_refuses_and_goes_on_when_there_is_room() -> None:
    """Room is given back in small amounts, so that every write is the one that does not fit."""
    whole = sum(len(data) for data in UNHARMED.disk.files().values())
    for room in range(0, whole, 499):
        disk = SimulatedDisk()
        life = Life(disk, on_refusal=lambda disk=disk: setattr(disk, "room", None))
        disk.room = room
        life.run()
        assert life.refused, room
        assert len(life.kept) == len(UNHARMED.kept)
        examine(disk.after_power_loss(Random(room)), life)
        examine(disk, life)


def test_a_disk_that_stays_full_keeps_refusing() -> None:
    disk = SimulatedDisk()
    life = Life(disk)
    disk.room = 4_000
    with pytest.raises(AssertionError, match="refused for ever"):
        life.run()
    assert life.kept
    disk.room = None
    examine(disk.after_power_loss(Random(1)), life)
    examine(disk, life)
