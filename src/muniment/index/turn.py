"""Turns of two threads at work that needs much memory: a flush goes before a merge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import TypeVar

T = TypeVar("T")


class Turn:
    """Lets one of flush and merge work at a time, so that their needs do not add up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._quiet = Event()
        self._quiet.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """The turn of a flush: as soon as the step is over that a merge is at."""
        self._quiet.clear()
        try:
            with self._lock:
                yield
        finally:
            self._quiet.set()

    def steps(self, work: Iterator[T]) -> Iterator[T]:
        """Yields what `work` yields; between two of them, a flush can take its turn."""
        while True:
            self._quiet.wait()
            with self._lock:
                for item in work:
                    yield item
                    del item
                    break
                else:
                    return
