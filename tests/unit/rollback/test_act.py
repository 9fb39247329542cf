"""A rollback: no record, no act; refused where the live state moved; its outcome on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from muniment.capture.snapshot import Json, ObjectName, Snapshot, State
from muniment.errors import InputError, Unavailable
from muniment.rollback.act import Moved, NotRecorded, Rollback
from muniment.rollback.plan import Plan, Wanted
from muniment.rollback.port import ApplyFailed, Step

NAME = ObjectName.parse("haproxy:lb1/server/web/w2")
WANTED = Wanted(1, Snapshot({"weight": 100}).version, {"weight": 100})


class Balancer:
    """An applier over one number. `stubborn` ignores commands, `broken` refuses them."""

    def __init__(self, weight: int | None = 50) -> None:
        self.weight = weight
        self.stubborn = self.broken = False

    def live(self, name: ObjectName) -> Snapshot | None:
        return None if self.weight is None else Snapshot({"weight": self.weight})

    def plan(self, name: ObjectName, live: Snapshot | None, wanted: State | None) -> Sequence[Step]:
        to = None if wanted is None else wanted["weight"]
        if to == (None if live is None else live.state["weight"]):
            return []
        return [Step(f"set weight {to}", f"set weight {self.weight}", to)]

    def apply(self, steps: Sequence[Step]) -> list[str]:
        if self.broken:
            raise ApplyFailed("No such server.")
        for step in steps:
            if not self.stubborn:
                assert step.data is None or isinstance(step.data, int)
                self.weight = step.data
        return ["done"] * len(steps)

    def close(self) -> None:
        pass


class Log:
    """Keeps records; refuses those whose action is in `refusing`."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Json]] = []
        self.refusing: set[str] = set()

    def __call__(self, event: Mapping[str, Json]) -> str:
        if event["action"] in self.refusing:
            raise Unavailable("the log is not there")
        self.records.append(event)
        return f"default/0/{len(self.records)}"

    @property
    def actions(self) -> list[Json]:
        return [event["action"] for event in self.records]


class Noon:
    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


def rollback(balancer: Balancer, log: Log) -> Rollback:
    return Rollback(balancer, log, Noon(), "ann@lb1")


def test_it_is_recorded_before_and_after() -> None:
    balancer, log = Balancer(), Log()
    act = rollback(balancer, log)
    plan = act.plan(NAME, WANTED)
    assert log.records == []

    outcome = act.carry_out(plan, WANTED, "errors since noon")

    assert balancer.weight == 100
    assert log.actions == ["rollback.apply", "rollback.done"]
    begun, done = log.records
    assert begun["comment"] == "errors since noon"
    assert begun["actor"] == "ann@lb1"
    assert begun["resource"] == str(NAME)
    assert begun["plan"]["steps"] == [{"does": "set weight 100", "undo": "set weight 50"}]
    assert done["outcome"] == "success"
    assert (outcome.begun, outcome.done) == ("default/0/1", "default/0/2")


def test_without_a_record_nothing_is_changed() -> None:
    balancer, log = Balancer(), Log()
    log.refusing = {"rollback.apply"}
    act = rollback(balancer, log)
    with pytest.raises(Unavailable):
        act.carry_out(act.plan(NAME, WANTED), WANTED)
    assert balancer.weight == 50


@pytest.mark.parametrize("moved_to", [60, 100, None])
def test_it_is_refused_where_the_live_state_has_moved(moved_to: int | None) -> None:
    balancer, log = Balancer(), Log()
    act = rollback(balancer, log)
    plan = act.plan(NAME, WANTED)
    balancer.weight = moved_to
    with pytest.raises(Moved, match="has changed since"):
        act.carry_out(plan, WANTED)
    assert balancer.weight == moved_to
    assert log.actions == ["rollback.refused"]
    assert log.records[0]["outcome"] == "denied"


def test_it_is_refused_where_the_steps_are_not_those_of_the_plan() -> None:
    balancer, log = Balancer(), Log()
    act = rollback(balancer, log)
    plan = replace(act.plan(NAME, WANTED), steps=(Step("shut down"),))
    with pytest.raises(Moved, match="other steps"):
        act.carry_out(plan, WANTED)
    assert balancer.weight == 50


def test_a_refusal_of_the_system_is_on_record() -> None:
    balancer, log = Balancer(), Log()
    balancer.broken = True
    act = rollback(balancer, log)
    with pytest.raises(ApplyFailed, match="No such server"):
        act.carry_out(act.plan(NAME, WANTED), WANTED)
    assert log.actions == ["rollback.apply", "rollback.failed"]
    assert log.records[1]["reason"] == "No such server."


def test_a_command_without_effect_is_a_failure() -> None:
    balancer, log = Balancer(), Log()
    balancer.stubborn = True
    act = rollback(balancer, log)
    with pytest.raises(ApplyFailed, match="still to do: set weight 100"):
        act.carry_out(act.plan(NAME, WANTED), WANTED)
    assert log.actions == ["rollback.apply", "rollback.failed"]


def test_an_outcome_that_cannot_be_recorded_is_not_silent() -> None:
    balancer, log = Balancer(), Log()
    log.refusing = {"rollback.done"}
    act = rollback(balancer, log)
    with pytest.raises(NotRecorded, match="is done, but that could not be recorded"):
        act.carry_out(act.plan(NAME, WANTED), WANTED)
    assert balancer.weight == 100


def test_an_object_that_was_not_there_is_taken_away() -> None:
    balancer, log = Balancer(), Log()
    act = rollback(balancer, log)
    absent = Wanted(1, "", None)
    act.carry_out(act.plan(NAME, absent), absent)
    assert balancer.weight is None
    assert act.plan(NAME, absent).steps == ()


def test_a_plan_survives_a_file_and_not_a_forger() -> None:
    act = rollback(Balancer(), Log())
    plan = act.plan(NAME, WANTED)
    text = as_file(plan)
    again = Plan.from_json(text)
    assert again.id == plan.id
    assert again.acts == plan.acts
    act.carry_out(again, WANTED)
    with pytest.raises(InputError, match="was changed"):
        Plan.from_json(text.replace(b"set weight 100", b"set weight 999"))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format":"x"}', b"\xff"])
def test_what_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(InputError):
        Plan.from_json(text)


def as_file(plan: Plan) -> bytes:
    return orjson.dumps(plan.to_json())
