"""Instants as people write them, and the span of time that each of them names."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta

_FORM = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?"
    r"(Z|[+-]\d\d:?\d\d)?)?)?)?\Z",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = re.compile(r"-\d{1,15}\Z|\d{1,3}\Z|\d{5,15}\Z", re.ASCII)
FORMS = "2026, 2026-01-31, 2026-01-31T12:30, 2026-01-31T12:30:59.250Z or epoch milliseconds"


def span(text: str) -> tuple[int, int]:
    """Returns the first millisecond since the epoch of what `text` names, and the first after it.

    `text` is a year, a month, a day, an hour, a minute, a second or a part of one (RFC
    3339 and shorter; UTC unless an offset is given), or an integer that is no year: milliseconds
    since the epoch.
    Raises ValueError for anything else.
    """
    if _MILLISECONDS.match(text):
        return int(text), int(text) + 1
    found = _FORM.match(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time; write {FORMS}")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    start = datetime(
        int(year),
        int(month or 1),
        int(day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
    ).replace(tzinfo=UTC)
    first = (start - _EPOCH) // timedelta(milliseconds=1) - _offset(zone)
    if day is None:
        return first, first + _length(start, month is None)
    if hour is None:
        return first, first + 86_400_000
    if minute is None:
        return first, first + 3_600_000
    if second is None:
        return first, first + 60_000
    if fraction is None:
        return first, first + 1_000
    first += int((fraction + "00")[:3])
    return first, first + 10 ** max(0, 3 - len(fraction))


def _length(start: datetime, year: bool) -> int:
    """The length of a year or a month in milliseconds."""
    if year:
        days = 366 if monthrange(start.year, 2)[1] == 29 else 365
    else:
        days = monthrange(start.year, start.month)[1]
    return days * 86_400_000


def _offset(zone: str | None) -> int:
    """The offset from UTC in milliseconds."""
    if zone is None or zone in "Zz":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return (-1 if zone[0] == "-" else 1) * minutes * 60_000
