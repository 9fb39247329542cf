"""SIGTERM and SIGINT: the first one makes a node stop in order, the second one makes it hurry."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """What a process was told. `stop` and `hurry` are set by signals, and may be set by hand.

    For the thread of the event loop. Where that takes no signals, none are heard.
    """

    def __init__(self) -> None:
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()

    def listen(self) -> None:
        """Hears signals from now on."""
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._heard)

    def forget(self) -> None:
        """Leaves signals to what the process did with them before."""
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(number)

    def _heard(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()
