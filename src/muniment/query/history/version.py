"""Versions of one object, counted from its change events, and the one that somebody means.

Versions are numbered from 1 in the order of time, shard and index. Two kinds of events tell of no
new version: an `observe` of the version that is known already (an agent that began anew), and the
same change told twice (two agents that look at one object, or one that was killed before it knew
that it had told).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from muniment.errors import NotFound, QueryError
from muniment.query.instant import span

MIN_DIGITS = 6
"""Digits of a version (SHA-256, hexadecimal) that name it."""

FORMS = "a number, latest, previous, 6 or more digits of the SHA-256, or a time"
_NUMBER = re.compile(r"(?:0|[1-9]\d{0,8})\Z", re.ASCII)
_DIGEST = re.compile(rf"[0-9a-f]{{{MIN_DIGITS},64}}\Z", re.ASCII)
_LOOK_BACK = 16
_SKEW = 2_000


@dataclass(frozen=True, slots=True)
class Record:
    """What the index knows of one change event. Times are milliseconds since the epoch.

    `change` is create, observe, update or delete; `version` is empty for a deleted object;
    `since` is RFC 3339 or empty; `agent` is whoever sent it.
    """

    time: int
    shard: str
    index: int
    change: str
    version: str
    previous: str
    since: str
    agent: str


@dataclass(frozen=True, slots=True)
class Version:
    """A record that tells of a new version."""

    number: int
    record: Record


def numbered(records: Iterable[Record], before: int = 0) -> list[Version]:
    """Returns the versions that records tell of; they must be in order.

    `before` is how many versions there were before the first of them.
    """
    kept: list[Version] = []
    for record in records:
        if not kept or not _is_told(record, kept):
            kept.append(Version(before + len(kept) + 1, record))
    return kept


def _is_told(record: Record, kept: Sequence[Version]) -> bool:
    last = kept[-1].record
    if record.change == "observe":
        return record.version == last.version
    change = (record.change, record.previous, record.version)
    for version in reversed(kept[-_LOOK_BACK:]):
        known = version.record
        if (known.change, known.previous, known.version) != change:
            continue
        if known.agent != record.agent:
            return _overlap(known, record, _SKEW)
        if known is last and _overlap(known, record, 0):
            return True
    return False


def _overlap(one: Record, other: Record, slack: int) -> bool:
    """Whether one change can be what both saw: each happened between `since` and `time`."""
    return _since(one) < other.time + slack and _since(other) < one.time + slack


def _since(record: Record) -> int:
    since = milliseconds(record.since)
    return record.time if since is None else min(record.time, since)


def milliseconds(text: str) -> int | None:
    """Returns an RFC 3339 time as milliseconds since the epoch; None for any other text."""
    try:
        found = datetime.fromisoformat(text)
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None


def choose(versions: Sequence[Version], said: str, name: str) -> Version:
    """Returns the version that `said` means: see FORMS. A time means what held then.

    Raises NotFound, and QueryError where `said` means nothing or several versions.
    """
    if not versions:
        raise NotFound(f"nothing is known of {name}: no change of such an object has come")
    first, latest = versions[0].number, versions[-1].number
    if said in ("", "latest"):
        return versions[-1]
    if said == "previous":
        if len(versions) < 2:
            raise NotFound(f"{name} has no version before the latest, {latest}")
        return versions[-2]
    if _NUMBER.match(said) and first <= int(said) <= latest:
        return versions[int(said) - first]
    if _DIGEST.match(said.lower()):
        return _by_digest(versions, said.lower(), name)
    if _NUMBER.match(said):
        raise NotFound(f"{name} has no version {said}: it has {first} to {latest}")
    return _at(versions, said, name)


def _by_digest(versions: Sequence[Version], digits: str, name: str) -> Version:
    found = [one for one in versions if one.record.version.startswith(digits)]
    if not found:
        raise NotFound(f"{name} has no version that begins with {digits}")
    if len({one.record.version for one in found}) > 1:
        raise QueryError(f"several versions of {name} begin with {digits}: give more digits")
    return found[-1]


def _at(versions: Sequence[Version], said: str, name: str) -> Version:
    try:
        after = span(said)[1]
    except (ValueError, OverflowError):
        raise QueryError(f"{said[:80]!r} is no version: write {FORMS}") from None
    found = [one for one in versions if one.record.time < after]
    if not found:
        raise NotFound(f"nothing is known of {name} before {said}")
    return found[-1]
