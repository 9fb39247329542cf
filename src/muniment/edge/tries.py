"""When to try again what did not work: after pauses that grow."""

from __future__ import annotations

import random

from muniment.clock import Clock

FIRST_PAUSE = 0.5
MOST_PAUSE = 30.0


class Tries:
    """Tries of one thing. Each pause is twice the one before, with jitter, until it has worked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause, self._not_before = FIRST_PAUSE, float("-inf")

    def is_due(self) -> bool:
        """Whether the pause after the last try is over."""
        return self._clock.monotonic() >= self._not_before

    def begin(self) -> None:
        """A try begins: the next one is due after a pause."""
        pause = self._pause * random.uniform(0.8, 1.2)  # noqa: S311
        self._not_before = self._clock.monotonic() + pause
        self._pause = min(self._pause * 2, MOST_PAUSE)

    def worked(self) -> None:
        """It has worked: the next pause is short again."""
        self._pause = FIRST_PAUSE
