"""One look at one page, and what to make of it; a page that fails costs its own scope only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from muniment.capture.port import Observation
from muniment.capture.snapshot import Snapshot
from muniment.clock import rfc3339
from muniment.errors import MunimentError

T = TypeVar("T")

LONGEST_COUNT = 0.4
"""Seconds that a look at counters may take: completeness allows the middle of it to be off by a
quarter of a second (`query.stretch.MARGIN_MS`)."""

TRIES = 3


def looked(look: Callable[[], T]) -> tuple[T | None, str]:
    """Returns what a look saw, or why it saw nothing."""
    try:
        return look(), ""
    except MunimentError as error:
        return None, error.detail


def counted(look: Callable[[], T]) -> tuple[T | None, str, str]:
    """Returns counters, the time (RFC 3339) as of which they hold, and why there are none.

    Counters that took long to be told are of an unknown moment in between, and would make entries
    missing, or too many, that are neither: they are asked for again, then left to the next look.
    """
    for _ in range(TRIES):
        began, at = time.monotonic(), datetime.now(UTC)
        seen, error = looked(look)
        took = time.monotonic() - began
        if error:
            return None, "", error
        if took <= LONGEST_COUNT:
            return seen, rfc3339(at + timedelta(seconds=took / 2)), ""
    return None, "", f"the counters took {took:.1f} s to be told: of which moment is not known"


def scope(
    name: str, seen: T | None, error: str, make: Callable[[T], Mapping[str, Snapshot]]
) -> Observation:
    """Returns the observation of a scope from what was seen; `error` where nothing was.

    What a balancer nests deeper than Python goes, or writes where another kind of value belongs, is
    an error of the scope.
    """
    if seen is None:
        return Observation(name, error=error)
    try:
        return Observation(name, make(seen))
    except MunimentError as failed:
        return Observation(name, error=failed.detail)
    except (RecursionError, AttributeError, KeyError, TypeError, ValueError) as failed:
        return Observation(name, error=f"not what was expected: {type(failed).__name__}: {failed}")
