"""Waiting for what another process does: a condition, a generous deadline, what was awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str | Callable[[], str], seconds: float = 60.0) -> T:
    """Returns the first true value of `condition`; fails the test when none came in time.

    `what` is what is awaited, or tells it, and how far it has come, when it is asked in the end.
    """
    deadline = time.monotonic() + seconds
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            awaited = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {seconds:.0f} s in vain for {awaited}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
