"""What a step does: commands on the stats socket, each with what HAProxy says when it obeys."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from muniment.balancer.haproxy import StatsSocket
from muniment.rollback.port import ApplyFailed, Step

Do = Callable[[], str]
"""Does something and returns the answer. Raises MunimentError."""


@dataclass(frozen=True, slots=True)
class Act:
    """The data of a step."""

    do: Do
    undo: Do | None = None


def command(socket: StatsSocket, text: str, undo: str = "", says: str = "") -> Step:
    """Returns the step of one command; `says` is a pattern of the answer to it and to its undo."""
    back = (lambda: obeyed(socket, undo, says)) if undo else None
    return Step(text, undo, Act(lambda: obeyed(socket, text, says), back))


def obeyed(socket: StatsSocket, text: str, says: str = "") -> str:
    """Sends a command and returns the answer. Raises ApplyFailed where it is not as foreseen."""
    answer = socket.ask(text).strip()
    if re.fullmatch(says or "", answer, re.S) is None:
        raise ApplyFailed(f"HAProxy answered: {answer[:300] or 'nothing'}")
    return answer or "done"


def insisting(act: Do, seconds: float, pause: float = 0.1) -> str:
    """Does something again until it goes well or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except ApplyFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause)
