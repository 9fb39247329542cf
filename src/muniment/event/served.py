"""The counters of one look, out of a `counters` entry: bounded, and only those that are whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_COUNTERS = 1_000
"""Counters of one look; what is beyond is not read."""

MAX_TEXT = 1_024
_MOST = 2**63


@dataclass(frozen=True, slots=True)
class Served:
    """One counter of a look; see `capture.port.Counter`."""

    name: str
    served: int
    epoch: str
    match: str
    dropped: int | None = None


def served(look: Mapping[str, Any]) -> Iterator[Served]:
    """Yields the counters of a look that can be read: whole numbers from 0, names that are text."""
    listed = look.get("counters")
    for item in listed[:MAX_COUNTERS] if isinstance(listed, list) else ():
        if not isinstance(item, dict):
            continue
        count = _whole(item.get("served"))
        name, epoch, match = (_text(item.get(key)) for key in ("name", "epoch", "match"))
        if not name or epoch is None or match is None or count is None:
            continue
        yield Served(name, count, epoch, match, _whole(item.get("dropped")))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_TEXT else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MOST else None
