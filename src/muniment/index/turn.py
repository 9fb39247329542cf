"""Turns of two threads at work that needs much memory: a flush goes before a merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import TypeVar

T = TypeVar("T")


class Turn:
    """Lets one of flush and merge work at a time, so that their needs do not add up.

    `settle` is called after each flush and each step of a merge, to hand memory back.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self._settle = settle
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
                self._settle()
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
                    self._settle()
                    break
                else:
                    return
