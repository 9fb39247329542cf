"""What the receivers' tests stand on: a log that acknowledges, refuses or waits as they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

from muniment import kernel
from muniment.errors import MunimentError
from muniment.log import Acknowledgement, Batch
from muniment.receive import Intake


class SteppingClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class MemoryLog:
    """Takes batches; `refusal` is raised or `held` futures stay open until a test says."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.batches = 0
        self.refusal: MunimentError | None = None
        self.fails_later = False
        self.hold = False
        self.held: list[tuple[Batch, Future[Acknowledgement]]] = []

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        if self.refusal is not None and not self.fails_later:
            raise self.refusal
        future: Future[Acknowledgement] = Future()
        if self.refusal is not None:
            future.set_exception(self.refusal)
        elif self.hold:
            self.held.append((batch, future))
        else:
            self._take(batch, future)
        return future

    def release(self) -> None:
        """Acknowledges what is held, and everything from now on."""
        self.hold = False
        held, self.held = self.held, []
        for batch, future in held:
            self._take(batch, future)

    def _take(self, batch: Batch, future: Future[Acknowledgement]) -> None:
        first = len(self.entries)
        for chunk in batch.chunks:
            self.entries += kernel.unpack(chunk.payload)
        self.batches += 1
        future.set_result(
            Acknowledgement("default", "00000000", first, batch.count, "local", "note")
        )

    def raws(self, source: str = "syslog") -> list[bytes]:
        """The raw bytes of the entries of one source, in order."""
        return [raw for header, raw in self.split() if header["as"] == source]

    def split(self) -> list[tuple[dict[str, Any], bytes]]:
        """Header and raw bytes of all entries."""
        found = []
        for entry in self.entries:
            header, _, raw = entry.partition(b"\n")
            found.append((json.loads(header), raw))
        return found

    def own(self) -> list[dict[str, Any]]:
        """The records of Muniment's own."""
        return [json.loads(raw) for raw in self.raws("muniment")]


def make_intake(log: MemoryLog, bound: int = 1 << 20, clock: SteppingClock | None = None) -> Intake:
    """An intake into that log."""
    return Intake(log.submit, node="test-node", bound=bound, clock=clock or SteppingClock())


async def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something holds; fails when it still does not after a long time."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.002)
