"""A clock that stands until it is told to go on, and an executor that works at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 1, 1, tzinfo=UTC)


class Ticking:
    """See muniment.clock.Clock."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def tick(self, seconds: float) -> None:
        self._seconds += seconds

    def monotonic(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self._seconds)


class _Now(Executor):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def now_executor() -> Executor:
    """Returns an executor that does each thing at once."""
    return _Now()
