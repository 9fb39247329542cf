"""What a shard's writer says of itself: whether it acknowledges, and how much it has done."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from muniment.clock import Clock, rfc3339

STALL_SECONDS = 20.0
"""A disk that has not come back for so long holds senders up: they are refused instead."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a shard acknowledges; where not, why, and since when (RFC 3339)."""

    ok: bool = True
    reason: str = ""
    since: str = ""


class Stall:
    """Whether a thread has been at one thing for long: a disk that hangs gives no error.

    The thread says what it does `at_work`; any other asks `of`, which never waits.
    """

    def __init__(self, shard: str, clock: Clock) -> None:
        self._shard, self._clock = shard, clock
        self._began: float | None = None
        self._told: float | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While the thread may wait for the disk."""
        self._began = time.monotonic()
        try:
            yield
        finally:
            self._began = None

    def goes_on(self) -> None:
        """The thread has come on: what it waited for has answered."""
        if self._began is not None:
            self._began = time.monotonic()

    def of(self, health: Health) -> Health:
        """Returns a health, or that the disk does not answer; tells the log of it once."""
        began = self._began
        if began is None or not health.ok:
            return health
        seconds = time.monotonic() - began
        if seconds < STALL_SECONDS:
            return health
        since = rfc3339(self._clock.now() - timedelta(seconds=seconds))
        reason = f"the disk has not answered since {since}"
        if self._told != began:
            self._told = began
            _logger.error("%s: acknowledges nothing: %s", self._shard, reason)
        return Health(False, reason, since)


@dataclass(slots=True)
class WriterMetrics:
    """Counts since the start. `sync_seconds` is the time spent writing and syncing commits."""

    entries: int = 0
    bytes: int = 0
    commits: int = 0
    refused: int = 0
    failures: int = 0
    sync_seconds: float = 0.0
