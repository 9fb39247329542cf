"""Who rests, and for how long: a source that failed is asked less and less often."""

from __future__ import annotations

from random import Random
from threading import Lock

from muniment.clock import Clock

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
LONGEST_REFUSAL = 300.0
"""Seconds that a source rests at most which showed what does not hold."""

SHARD_SECONDS = 60.0
"""Seconds that a shard rests at a source which did not tell where it begins."""

MOST_RESTING = 256


class Resting:
    """Sources by name, each with a pause that doubles, with jitter. For any thread."""

    def __init__(self, clock: Clock, random: Random, longest: float = LONGEST_PAUSE) -> None:
        self._clock, self._random, self._longest = clock, random, longest
        self._until: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def __contains__(self, name: str) -> bool:
        """Whether it has failed, and was not well again since; its rest may be over."""
        with self._lock:
            return name in self._until

    def rests(self, name: str) -> bool:
        """Whether it is not to be asked now."""
        with self._lock:
            return self._until.get(name, (0.0, 0.0))[0] > self._clock.monotonic()

    def longer(self, name: str) -> bool:
        """Lets it rest, longer than the last time; returns whether this is the first time."""
        with self._lock:
            first = name not in self._until
            _, pause = self._until.get(name, (0.0, FIRST_PAUSE / 2))
        self.rest(name, min(2 * pause, self._longest))
        return first

    def rest(self, name: str, seconds: float) -> None:
        """Lets it rest for about so long."""
        until = self._clock.monotonic() + seconds * self._random.uniform(0.5, 1.0)
        with self._lock:
            self._until[name] = (until, seconds)
            while len(self._until) > MOST_RESTING:
                del self._until[next(iter(self._until))]

    def well(self, name: str) -> None:
        """It did what it should."""
        with self._lock:
            self._until.pop(name, None)
