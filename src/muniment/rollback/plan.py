"""The plan of a rollback: from what is live to what was, in steps that a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

import orjson

from muniment.capture.change import differences
from muniment.capture.snapshot import Json, ObjectName, Snapshot, State
from muniment.errors import InputError
from muniment.rollback.port import Step

FORMAT = "muniment.dev/rollback-plan/v1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The version to go back to: its number in the history, its digest and its state.

    A version at which the object did not exist has no digest and no state.
    """

    number: int
    version: str
    state: State | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done. `live` is the version that it starts from; empty: there is no object.

    `fields` are the differences from the live state to the wanted one, as in change events.
    """

    name: ObjectName
    number: int
    version: str
    live: str
    made: str
    steps: tuple[Step, ...]
    fields: tuple[Mapping[str, Json], ...] = ()

    @property
    def acts(self) -> list[dict[str, str]]:
        """The steps in words."""
        return [
            {"does": step.does, "undo": step.undo} if step.undo else {"does": step.does}
            for step in self.steps
        ]

    @property
    def id(self) -> str:
        """Names this plan in records: a digest of what it is, not of when it was made."""
        said = [str(self.name), self.version, self.live, self.acts]
        return sha256(orjson.dumps(said)).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as it is written to a file; the data of steps is not in it."""
        return {
            "format": FORMAT,
            "id": self.id,
            "object": str(self.name),
            "to": {"number": self.number, "version": self.version},
            "live": self.live,
            "made": self.made,
            "steps": self.acts,
            "fields": [dict(field) for field in self.fields],
        }

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Reads a plan file. Raises InputError where it is none, or was changed by hand."""
        try:
            said = orjson.loads(text)
            if said["format"] != FORMAT:
                raise InputError(f"it is of the format {said['format']!r}, not {FORMAT}")
            steps = tuple(Step(str(one["does"]), str(one.get("undo", ""))) for one in said["steps"])
            plan = cls(
                ObjectName.parse(said["object"]),
                int(said["to"]["number"]),
                str(said["to"]["version"]),
                str(said["live"]),
                str(said["made"]),
                steps,
                tuple(said["fields"]),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"not a plan of a rollback: {error}", advice="make it with --plan"
            ) from None
        if plan.id != said.get("id"):
            raise InputError("the plan was changed after it was made", advice="make a new one")
        return plan


def make_plan(
    name: ObjectName, live: Snapshot | None, wanted: Wanted, steps: tuple[Step, ...], made: str
) -> Plan:
    """Returns the plan of these steps, with what differs now."""
    before: Json = None if live is None else live.state
    return Plan(
        name,
        wanted.number,
        wanted.version,
        version_of_live(live),
        made,
        steps,
        tuple(differences(before, wanted.state)),
    )


def version_of_live(live: Snapshot | None) -> str:
    """Returns the version of a live state, empty where there is no object."""
    return "" if live is None else live.version
