"""Times as people write them: `-15m`, `2h`, `2026-01-31`, `2026-01-31T08:00:00Z`, `now`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_RELATIVE = re.compile(r"-?(\d{1,9})(ms|s|m|h|d|w)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def absolute(text: str, now: datetime) -> datetime:
    """Returns the moment in UTC that `text` names, seen from `now`.

    `15m` and `-15m` are both a quarter of an hour ago. A time without a zone is local time.
    Raises ValueError for what is not a time.
    """
    text = text.strip()
    if text == "now":
        return now.astimezone(UTC)
    relative = _RELATIVE.fullmatch(text)
    try:
        if relative:
            return (now - int(relative[1]) * _UNITS[relative[2]]).astimezone(UTC)
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time; write -15m, 2h, 3d, 2026-01-31, 2026-01-31T08:00:00Z or now"
        ) from None


def rfc3339(moment: datetime) -> str:
    """Returns a moment as RFC 3339 in UTC with milliseconds and `Z`."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def to_moment(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The callback of an option that takes a time: gives RFC 3339 text in UTC."""
    if value is None:
        return None
    try:
        return rfc3339(absolute(value, datetime.now(UTC)))
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from None
