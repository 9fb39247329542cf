"""One look at one page, and what to make of it; a page that fails costs its own scope only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from muniment.capture.port import Observation
from muniment.capture.snapshot import Snapshot
from muniment.errors import MunimentError

T = TypeVar("T")


def looked(look: Callable[[], T]) -> tuple[T | None, str]:
    """Returns what a look saw, or why it saw nothing."""
    try:
        return look(), ""
    except MunimentError as error:
        return None, error.detail


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
