"""Delivers batches: asks again, with the same id, until the log has acknowledged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from muniment.cli.client import Server, Unreachable
from muniment.cli.logs import shards_of
from muniment.cli.sending.journal import Destination
from muniment.errors import MunimentError, TryLater

FIRST_CONTACT_SECONDS = 10.0
MAX_PAUSE = 10.0
FIRST_PAUSE = 0.25

Answer = TypeVar("Answer")


class Courier:
    """One server, asked in order over one connection.

    `retry_for` is how many seconds without success it goes on trying (a server that never
    answered at all: FIRST_CONTACT_SECONDS at most). `waiting` is told why, and for how long, it
    waits.
    """

    def __init__(
        self,
        server: Server,
        to: Destination,
        *,
        retry_for: float,
        waiting: Callable[[str, float], None],
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.to = to
        self._server = server
        self._retry_for = retry_for
        self._waiting = waiting
        self._sleep, self._monotonic, self._jitter = sleep, monotonic, jitter
        self._reached = False

    def shards(self) -> dict[str, int]:
        """Returns the size of each shard of the log. Raises MunimentError as the server does."""
        shards = self._patiently(lambda: shards_of(self._server, self.to.log))
        return {one.shard: one.size for one in shards}

    def deliver(self, body: bytes, id_: str) -> dict[str, Any]:
        """Returns the acknowledgement of a batch. Raises what the server refuses it with."""
        to = self.to
        return self._patiently(
            lambda: self._server.append(to.log, to.source, body, to.media_type, id_)
        )

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        started = self._monotonic()
        pause = FIRST_PAUSE
        while True:
            try:
                answer = ask()
            except (TryLater, Unreachable) as error:
                self._reached = self._reached or isinstance(error, TryLater)
                wait = max(pause * (0.5 + self._jitter() / 2), _asked_for(error))
                if self._monotonic() - started + wait > self._patience():
                    raise
                self._waiting(error.detail, wait)
                self._sleep(wait)
                pause = min(pause * 2, MAX_PAUSE)
            else:
                self._reached = True
                return answer

    def _patience(self) -> float:
        return self._retry_for if self._reached else min(self._retry_for, FIRST_CONTACT_SECONDS)


def _asked_for(error: MunimentError) -> float:
    return float(error.retry_after) if isinstance(error, TryLater) else 0.0
