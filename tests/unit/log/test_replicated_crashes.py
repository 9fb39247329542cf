"""Crashes and failures of a replicated shard, at every step of its life.

What was acknowledged is stored in the replica and durable here; the disk is never ahead of the
replica; the replica alone gives every acknowledged entry once and in order, and the same files.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from live_shard import DIRECTORY
from replicated_life import ReplicatedLife, examine
from replicated_shard import replayed
from simulated_disk import Fault, PowerLoss, SimulatedDisk, Step, at_step
from simulated_replica import SimulatedReplica

from muniment.log import writer
from muniment.log.verify import verify_shard

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"  # a writer's thread that lost power
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PUBLISH_EVERY", 0.002)


def lived(disk: SimulatedDisk, seed: int = 0) -> ReplicatedLife:
    life = ReplicatedLife(disk, SimulatedReplica(seed=seed))
    life.run()
    return life


UNHARMED = lived(SimulatedDisk())
STEPS = UNHARMED.disk.steps
NUMBERS = range(len(STEPS) + 2)
"""Steps differ a little from run to run, as threads do; a step that does not come does no harm."""


def test_the_life_has_every_kind_of_step() -> None:
    kinds = {(step.operation, step.path.suffix or step.path.name) for step in STEPS}
    assert {("sync", ".seg"), ("seal", ".seg"), ("sync", "checkpoints"), ("sync", "1")} < kinds
    assert {append.act.name for append in UNHARMED.replica.content()} == {
        "GROUP",
        "CHECKPOINT",
        "SEAL",
    }
    examine(UNHARMED.disk, UNHARMED)


@pytest.mark.parametrize("number", NUMBERS)
def test_power_loss_at_a_step(number: int) -> None:
    disk = SimulatedDisk()
    disk.plan = at_step(number, Fault.POWER)
    life = lived(disk, number)
    disk = life.disk.killed()
    for seed in range(2):
        examine(disk.after_power_loss(Random(seed)), life)
    examine(disk, life)


@pytest.mark.parametrize("number", NUMBERS)
def test_power_loss_while_the_next_start_applies_what_is_missing(number: int) -> None:
    disk = SimulatedDisk()
    disk.plan = at_step(number, Fault.POWER)
    life = lived(disk, number)
    disk = life.disk.killed().after_power_loss(Random(number))
    for later in range(number % 4, 20, 8):
        again = disk.copy()
        again.plan = at_step(later, Fault.POWER)
        start_that_fails(again, life)
        examine(again.killed().after_power_loss(Random(later)), life)


def start_that_fails(disk: SimulatedDisk, life: ReplicatedLife) -> None:
    if disk.exists(DIRECTORY / "verifier"):
        with suppress(PowerLoss):
            replayed(life.replica.content(), disk)


def ways(step: Step) -> list[Fault]:
    kinds = {"write": [Fault.TORN], "sync": [Fault.DROPPED]}
    return [Fault.FAILED, Fault.PERSISTED, *kinds.get(step.operation, [])]


TABLE = [(step, fault) for step in STEPS[UNHARMED.opened :] for fault in ways(step)]


@pytest.mark.parametrize(
    ("step", "fault"), TABLE, ids=[f"{s.number}-{s.operation}-{f.name}" for s, f in TABLE]
)
def test_a_failed_step_changes_nothing_that_anybody_sees(step: Step, fault: Fault) -> None:
    disk = SimulatedDisk()
    due = [fault]

    def plan(found: Step) -> Fault | None:
        same = (found.operation, found.path) == (step.operation, step.path)
        return due.pop() if due and same and found.number >= step.number else None

    disk.plan = plan
    life = lived(disk)
    assert [kept.first for _, kept in life.kept] == [kept.first for _, kept in UNHARMED.kept]
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    for seed in range(2):
        examine(disk.after_power_loss(Random(seed)), life)
    examine(disk, life)


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.DROPPED, Fault.TORN])
@pytest.mark.parametrize("number", range(UNHARMED.opened, len(STEPS), 3))
def test_power_loss_soon_after_a_failed_step(number: int, fault: Fault) -> None:
    for later in (1, 2, 4):
        disk = SimulatedDisk()
        faults = {number: fault, number + later: Fault.POWER}
        disk.plan = lambda step, faults=faults: faults.get(step.number)
        life = lived(disk, later)
        examine(life.disk.killed().after_power_loss(Random(number)), life)
