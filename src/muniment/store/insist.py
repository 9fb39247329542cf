"""Asking a store again: what fails for a moment is tried for a while, what cannot change is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from muniment.errors import StoreFailing

T = TypeVar("T")

HOPELESS = frozenset({"credentials", "refused", "full"})
"""Reasons that no repetition mends."""

LONGEST_PAUSE = 10.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Insist:
    """How long a call is repeated: `tries` in all, with pauses that double from `pause` seconds.

    Each pause is drawn between half of it and all of it, so that many readers do not come back
    together. Only for calls that may be made twice: reading, listing, put-if-absent.
    """

    tries: int = 6
    pause: float = 0.25
    sleep: Callable[[float], None] = time.sleep
    random: Random = field(default_factory=Random)

    def __call__(self, call: Callable[[], T]) -> T:
        """Returns what the call returns. Raises its last StoreFailing, anything else at once."""
        pause = self.pause
        for _ in range(self.tries - 1):
            try:
                return call()
            except StoreFailing as error:
                if error.reason in HOPELESS:
                    raise
            self.sleep(pause * self.random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_PAUSE)
        return call()
