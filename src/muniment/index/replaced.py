"""Files that other ones have replaced: they stay for a while, so that queries under way can end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from muniment.index.part import Part

GRACE = 90.0
"""Seconds that they stay."""


class ReplacedFiles:
    """The files of parts that no snapshot names any more. `clock` gives seconds, monotonic.

    What is still there when the process ends is removed when the index is opened again.
    """

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._directory, self._clock = directory, clock
        self._waiting: list[tuple[float, Path]] = []

    def add(self, parts: Sequence[Part]) -> None:
        """Has the files of parts removed in a while."""
        due = self._clock() + GRACE
        self._waiting += [(due, self._directory / part.path) for part in parts]

    def remove_due(self) -> None:
        """Removes the files whose time has come. Raises OSError."""
        now = self._clock()
        for due, path in self._waiting:
            if due <= now:
                path.unlink(missing_ok=True)
        self._waiting = [item for item in self._waiting if item[0] > now]
