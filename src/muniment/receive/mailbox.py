"""From other threads to the event loop, many calls for one wake-up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

_logger = logging.getLogger(__name__)


class Mailbox:
    """Calls functions on the event loop's thread, in the order in which they were posted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = Lock()
        self._calls: list[tuple[Callable[[Any], None], Any]] = []

    def post(self, function: Callable[[Any], None], value: Any) -> None:
        """Calls `function(value)` soon; from any thread."""
        with self._lock:
            self._calls.append((function, value))
            first = len(self._calls) == 1
        if first:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        for function, value in calls:
            try:
                function(value)
            except Exception:  # one that fails must not cost the others their call
                _logger.exception("a call from another thread failed")
