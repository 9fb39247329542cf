"""From other threads to the event loop, many calls for one wake-up."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_logger = logging.getLogger(__name__)


class Mailbox:
    """Calls functions on the event loop's thread, in the order in which they were posted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._called = False

    def post(self, function: Callable[[Any], None], value: Any) -> None:
        """Calls `function(value)` soon; from any thread.

        No lock: the call is in the deque before `_called` is read, and `_open` clears that before
        it looks into the deque, so that no call is left behind; at worst one wake-up is idle.
        """
        self._calls.append((function, value))
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._called = False
        while self._calls:
            function, value = self._calls.popleft()
            try:
                function(value)
            except Exception:  # one that fails must not cost the others their call
                _logger.exception("a call from another thread failed")
