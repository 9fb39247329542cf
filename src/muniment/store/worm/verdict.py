"""What a check of a store's promise found: one line a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_PROBES = 1_000
"""Lines of a report; findings beyond are counted."""


class Verdict(StrEnum):
    """Whether the store did what it promises."""

    KEPT = "kept"
    BROKEN = "BROKEN"
    NOT_SHOWN = "not shown here"


@dataclass(frozen=True, slots=True)
class Probe:
    """What was tried, what must happen, what happened, and what that means.

    `name` is the same in every check; `key` is the object that was tried or looked at. `passing`
    says that it was not shown this time only, as the store was slow or did not answer.
    """

    name: str
    tried: str
    must: str
    happened: str
    verdict: Verdict
    key: str = ""
    passing: bool = False

    def __str__(self) -> str:
        return f"{self.verdict:<14} {self.tried}: must {self.must}; {self.happened}"

    def as_json(self) -> dict[str, str]:
        """Returns it as members of a JSON object."""
        return {
            "probe": self.name,
            "tried": self.tried,
            "must": self.must,
            "happened": self.happened,
            "verdict": self.verdict.value,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Probe:
        """Reads one. Raises KeyError, TypeError or ValueError for what is none."""
        names = ("probe", "tried", "must", "happened", "key")
        texts = [found[name] for name in names]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a probe has texts")
        name, tried, must, happened, key = texts
        return cls(name, tried, must, happened, Verdict(found["verdict"]), key)


@dataclass(slots=True)
class Report:
    """A whole check of one store. `at` is RFC 3339; `left_out` are lines over the bound."""

    store: str
    url: str
    at: str
    probes: list[Probe] = field(default_factory=list)
    objects: int = 0
    looked_at: int = 0
    repaired: int = 0
    left_out: int = 0
    broken_left_out: int = 0

    def add(self, probe: Probe) -> None:
        """Adds a line, within the bound."""
        if len(self.probes) < MAX_PROBES:
            self.probes.append(probe)
        else:
            self.left_out += 1
            self.broken_left_out += probe.verdict is Verdict.BROKEN

    @property
    def broken(self) -> list[Probe]:
        """The promises that were not kept."""
        return [probe for probe in self.probes if probe.verdict is Verdict.BROKEN]

    @property
    def ok(self) -> bool:
        """Whether nothing is broken."""
        return not self.broken and not self.broken_left_out

    def as_json(self) -> dict[str, Any]:
        """Returns the report as a JSON object."""
        return {
            "store": self.store,
            "url": self.url,
            "at": self.at,
            "ok": self.ok,
            "objects": self.objects,
            "looked_at": self.looked_at,
            "repaired": self.repaired,
            "left_out": self.left_out,
            "probes": [probe.as_json() for probe in self.probes],
        }
