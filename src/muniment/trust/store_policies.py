"""The recorded retentions of a store, beside what the log itself says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from muniment.errors import Corrupt
from muniment.log.report import Finding
from muniment.store.disk import StoreDisk
from muniment.store.names import policy_key
from muniment.store.retention.acts import EXTENDED, SOURCE
from muniment.store.retention.policy import Policy

Times = tuple[int | None, int | None]
"""Minimum and maximum, in seconds."""


@dataclass(slots=True)
class Stated:
    """The retentions that entries state: by log and number, each with the entry that says so.

    Nodes of one log may have used a number each for itself. `incomplete` are logs of which some
    entries were not read, or have expired: nothing is compared there.
    """

    times: dict[str, dict[int, dict[Times, str]]] = field(default_factory=dict)
    incomplete: set[str] = field(default_factory=set)

    def hear(self, log: str, place: str, header: Mapping[str, Any], raw: bytes) -> None:
        """Takes an entry; nobody but Muniment writes `via` and `as` of itself."""
        if header.get("via") != SOURCE or header.get("as") != SOURCE:
            return
        try:
            said = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return
        if not isinstance(said, dict) or said.get("action") != EXTENDED:
            return
        number, times = (
            said.get("policy"),
            (said.get("minimum_seconds"), said.get("maximum_seconds")),
        )
        if isinstance(number, int) and all(time is None or type(time) is int for time in times):
            self.times.setdefault(log, {}).setdefault(number, {}).setdefault(times, place)

    def compare(self, disk: StoreDisk, notes: list[str]) -> Iterator[Finding]:
        """Finds records that say something else; what was removed is a note: it is in the log."""
        for log, numbers in sorted(self.times.items()):
            if log in self.incomplete:
                continue
            for number, times in sorted(numbers.items()):
                key, place = policy_key(log, number), next(iter(times.values()))
                if disk.inventory.first(key) is None:
                    notes.append(f"{key} is missing: {place} says that there was this retention")
                    continue
                policy = _policy(disk, key, log)
                if policy is not None and (policy.minimum, policy.maximum) not in times:
                    yield Finding(key, f"says {policy}; {place} says otherwise")


def _policy(disk: StoreDisk, key: str, log: str) -> Policy | None:
    """The record under a key; one that cannot be read is found elsewhere."""
    try:
        return Policy.decode(disk.object(key), key, log)
    except (Corrupt, FileNotFoundError):
        return None
