"""Puts AWS's objects back through its API: each difference that can be set is one call.

What AWS would only give under another ARN (a load balancer, a listener, a rule that was deleted)
cannot be put back as the same object. A target can: it is registered again, or taken away. Where
something differs that no call sets (the port of a target group, the subnets of an auto-scaling
group), nothing is done. Secrets of identity providers stay as AWS has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from muniment.balancer.aws import Aws, AwsError
from muniment.capture.redaction import Redact
from muniment.capture.snapshot import ObjectName, Snapshot, State
from muniment.capture.systems.aws import Settings
from muniment.capture.systems.aws_look import Look, Named
from muniment.errors import MunimentError
from muniment.rollback import aws_calls
from muniment.rollback.aws_calls import Call
from muniment.rollback.port import ApplyFailed, CannotRollBack, Step

SETTLE_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""How long is waited between looks until AWS shows what was done."""

_SHOWN = 2_000


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, the call that takes it back, and what is to be seen after all of them."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    back: Mapping[str, Any] | None
    back_operation: str
    name: ObjectName
    wanted: State | None


def applier(settings: Settings, redact: Redact) -> AwsApplier:
    """Returns what puts the objects of a section `[[aws]]` back."""
    return AwsApplier(settings, redact)


class AwsApplier:
    """An applier of one region; see `port.Applier`."""

    def __init__(
        self, settings: Settings, redact: Redact, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings, self._redact, self._sleep = settings, redact, sleep
        self._api = Aws(settings.access())

    def live(self, name: ObjectName) -> Snapshot | None:
        """Returns the object as AWS has it now; None where it is not there. Raises AwsError."""
        look = Look(self._api, self._settings.name, self._redact)
        try:
            return next((one for key, one in _found(look, name) if key == str(name)), None)
        except AwsError as error:
            if error.is_gone:
                return None
            raise

    def plan(self, name: ObjectName, live: Snapshot | None, wanted: State | None) -> Sequence[Step]:
        """Returns the calls that make what is there what is wanted. Raises CannotRollBack."""
        if wanted is not None and b"[redacted " in orjson.dumps(wanted):
            raise CannotRollBack(f"{name} held secrets, which were never captured")
        if name.kind == "target":
            calls = self._target(live, wanted)
        elif live is None or wanted is None:
            calls = self._presence(name, live, wanted)
        else:
            calls = self._changes(name, live, wanted)
        return [_step(_Call(*call, name=name, wanted=wanted)) for call in calls]

    def apply(self, steps: Sequence[Step]) -> list[str]:
        """Makes the calls in order, and looks until AWS shows what they did. Raises ApplyFailed."""
        done: list[_Call] = []
        for step in steps:
            call = step.data
            assert isinstance(call, _Call)
            try:
                self._api.call(call.service, call.operation, **call.parameters)
            except AwsError as error:
                raise ApplyFailed(
                    f"{step.does}: {error.detail}; {self._taken_back(done)}"
                ) from error
            done.append(call)
        if done:
            self._settled(done[-1])
        return [f"{call.service} {call.operation}: done" for call in done]

    def close(self) -> None:
        """Lets go of connections."""
        self._api.close()

    def _taken_back(self, done: list[_Call]) -> str:
        left: list[str] = []
        for call in reversed(done):
            try:
                if call.back is None:
                    left.append(f"{call.operation} cannot be taken back")
                else:
                    self._api.call(call.service, call.back_operation, **call.back)
            except AwsError as error:
                left.append(f"{call.back_operation}: {error.detail}")
        if left:
            return "of what was done before: " + "; ".join(left)
        return "what was done before was taken back" if done else "nothing was done before"

    def _settled(self, last: _Call) -> None:
        """Waits, for a bounded time, until a look shows nothing that is left to do."""
        for pause in SETTLE_SECONDS:
            try:
                if not self.plan(last.name, self.live(last.name), last.wanted):
                    return
            except MunimentError:
                return  # whoever asked for it looks again, and says what is left
            self._sleep(pause)

    def _presence(
        self, name: ObjectName, live: Snapshot | None, wanted: State | None
    ) -> Iterator[Call]:
        if live is None and wanted is None:
            return
        if live is None:
            raise CannotRollBack(f"{name} was deleted; AWS would make it under another ARN")
        if name.kind != "rule":
            raise CannotRollBack(f"{name} was not there; deleting it is left to people")
        yield "elbv2", "delete_rule", {"RuleArn": live.names[0]}, None, ""

    def _changes(self, name: ObjectName, live: Snapshot, wanted: State) -> Iterator[Call]:
        if name.kind not in aws_calls.KINDS:
            raise CannotRollBack(f"objects of the kind {name.kind} are only looked at")
        if fixed := aws_calls.fixed(name.kind, live.state, wanted):
            raise CannotRollBack(f"{name} differs in what cannot be set: {', '.join(fixed)}")
        arn = live.names[0] if live.names else ""
        if name.kind == "rule":
            self._check_priority(name, live.state, wanted)
        return aws_calls.calls(name.kind, arn, live.state, wanted)

    def _check_priority(self, name: ObjectName, live: State, wanted: State) -> None:
        if live.get("Priority") == wanted.get("Priority"):
            return
        look = Look(self._api, self._settings.name, self._redact)
        beside = str(name).rpartition("/")[0] + "/"
        for other, one in look.rules(_only(name)):
            same = one.state.get("Priority") == wanted.get("Priority")
            if same and other.startswith(beside):
                raise CannotRollBack(f"{other} has the priority {wanted.get('Priority')} now")

    def _target(self, live: Snapshot | None, wanted: State | None) -> Iterator[Call]:
        if wanted is not None and (live is None or live.state != wanted):
            call = aws_calls.registration(wanted)
            yield "elbv2", "register_targets", call, call, "deregister_targets"
        elif wanted is None and live is not None:
            call = aws_calls.registration(live.state)
            yield "elbv2", "deregister_targets", call, call, "register_targets"


def _found(look: Look, name: ObjectName) -> Iterator[Named]:
    """The objects among which one of this name would be. Raises CannotRollBack."""
    listing = {
        "listener": look.listeners,
        "rule": look.rules,
        "load-balancer": look.load_balancers,
        "target-group": look.target_groups,
        "target": look.targets,
        "auto-scaling-group": look.scaling_groups,
    }.get(name.kind)
    if listing is None:
        raise CannotRollBack(f"objects of the kind {name.kind} are only looked at")
    return listing(_only(name))


def _only(name: ObjectName) -> str:
    """The name of the load balancer, target group or auto-scaling group that an object is of."""
    if name.kind == "auto-scaling-group":
        return name.name
    parts = name.name.split("/")
    return parts[0] if name.kind.startswith("target") else parts[min(1, len(parts) - 1)]


def _step(call: _Call) -> Step:
    undo = "" if call.back is None else _words(call.service, call.back_operation, call.back)
    return Step(_words(call.service, call.operation, call.parameters), undo, call)


def _words(service: str, operation: str, parameters: Mapping[str, Any]) -> str:
    given = orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS).decode()
    shown = given if len(given) <= _SHOWN else given[:_SHOWN] + " ..."
    return f"aws {service} {operation.replace('_', '-')} --cli-input-json {shown}"
