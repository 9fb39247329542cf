"""Carrying a plan out: recorded before, applied, looked at again, recorded after.

No record, no act: the record that it begins must be durable before anything is changed. A plan is
refused where the live state, or the steps that lead from it, are no longer those of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from muniment.capture.snapshot import Json, ObjectName, Snapshot
from muniment.clock import Clock, rfc3339
from muniment.errors import MunimentError
from muniment.rollback.plan import Plan, Wanted, make_plan, version_of_live
from muniment.rollback.port import Applier, ApplyFailed, Step

Record = Callable[[Mapping[str, Json]], str]
"""Makes a record durable in the log and returns its place (`log/shard/index`)."""


class Moved(MunimentError):
    """The object is no longer what it was when the plan was made; nothing was changed."""

    status = 409
    slug = "moved"
    title = "The live state has moved since the plan"


class NotRecorded(MunimentError):
    """The change was made, but its outcome could not be recorded."""

    slug = "not-recorded"
    title = "The outcome is not on record"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rollback did: the system's answers, and where its records stand."""

    plan: Plan
    answers: Sequence[str]
    begun: str
    done: str


class Rollback:
    """Rollbacks of one instance's objects. `who` is the person, as user@host."""

    def __init__(self, applier: Applier, record: Record, clock: Clock, who: str) -> None:
        self._applier, self._record, self._clock, self._who = applier, record, clock, who

    def plan(self, name: ObjectName, wanted: Wanted) -> Plan:
        """Returns what would be done; no steps where there is nothing to do. Changes nothing.

        Raises CannotRollBack.
        """
        live = self._applier.live(name)
        return self._plan(name, live, wanted)

    def _plan(self, name: ObjectName, live: Snapshot | None, wanted: Wanted) -> Plan:
        steps = tuple(self._applier.plan(name, live, wanted.state))
        return make_plan(name, live, wanted, steps, rfc3339(self._clock.now()))

    def carry_out(self, plan: Plan, wanted: Wanted, reason: str = "") -> Outcome:
        """Does what the plan says. Raises Moved, ApplyFailed, NotRecorded, and what records raise.

        `wanted` is the version that the plan names.
        """
        steps = self._unmoved(plan, wanted)
        begun = self._record(self._event("apply", plan, comment=reason))
        try:
            answers = self._applier.apply(steps)
            self._check_reached(plan, wanted)
        except MunimentError as error:
            self._end("failed", plan, error.detail)
            raise
        return Outcome(plan, answers, begun, self._end("done", plan, "; ".join(answers)))

    def _unmoved(self, plan: Plan, wanted: Wanted) -> Sequence[Step]:
        live = self._applier.live(plan.name)
        if version_of_live(live) == plan.live:
            now = self._plan(plan.name, live, wanted)
            if now.id == plan.id:
                return now.steps
            detail = f"{plan.name} would need other steps now than the plan has"
        else:
            detail = f"{plan.name} has changed since the plan was made"
        self._record(self._event("refused", plan, reason=detail))
        raise Moved(detail)

    def _check_reached(self, plan: Plan, wanted: Wanted) -> None:
        left = self._plan(plan.name, self._applier.live(plan.name), wanted)
        if left.steps:
            acts = ", ".join(step.does for step in left.steps)
            raise ApplyFailed(f"all steps were done, but this is still to do: {acts}")

    def _end(self, action: str, plan: Plan, reason: str) -> str:
        try:
            return self._record(self._event(action, plan, reason=reason))
        except MunimentError as error:
            raise NotRecorded(
                f"the rollback of {plan.name} is {action}, but that could not be recorded: "
                f"{error.detail} ({reason})"
            ) from error

    def _event(
        self, action: str, plan: Plan, reason: str = "", comment: str = ""
    ) -> dict[str, Json]:
        """A record in the native form of events."""
        outcome = {"done": "success", "failed": "failure", "refused": "denied"}.get(action)
        event: dict[str, Json] = {
            "time": rfc3339(self._clock.now()),
            "actor": self._who,
            "action": f"rollback.{action}",
            "resource": str(plan.name),
        }
        event |= {"outcome": outcome} if outcome else {}
        event |= {"reason": reason[:_MOST]} if reason else {}
        event |= {"comment": comment[:_MOST]} if comment else {}
        event["plan"] = _bounded(plan)
        return event


_MOST = 4_096
_MOST_STEPS = 200


def _bounded(plan: Plan) -> dict[str, Json]:
    """The plan for a record, which has to fit into an entry."""
    acts: list[Json] = [
        {key: text[:200] for key, text in act.items()} for act in plan.acts[:_MOST_STEPS]
    ]
    return {
        "id": plan.id,
        "to": {"number": plan.number, "version": plan.version},
        "live": plan.live,
        "steps": acts,
        "step_count": len(plan.steps),
    }
