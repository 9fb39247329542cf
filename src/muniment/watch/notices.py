"""Records of Muniment's own from any thread: put into their logs in the background, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from muniment.errors import MunimentError
from muniment.watch.records import Record

MAX_WAITING = 1_000

_log = logging.getLogger(__name__)

Put = Callable[[Sequence[Record]], Awaitable[None]]
"""Returns when records are durable; see `commit.Committer`."""


class Notices:
    """Takes records for logs, and puts them there. `run` belongs to one event loop.

    Beyond MAX_WAITING records, which only a log that takes nothing for long leads to, a record is
    written to the process's own log instead.
    """

    def __init__(self, logs: Mapping[str, Put]) -> None:
        self._logs = logs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Queue[tuple[str, Record]] = asyncio.Queue(MAX_WAITING)
        self._early: list[tuple[str, Record]] = []

    def tell(self, log: str, record: Record) -> None:
        """Takes a record; for any thread, returns at once."""
        if self._loop is None:
            self._early.append((log, record))
            return
        with suppress(RuntimeError):  # the loop is closed: the node has stopped
            self._loop.call_soon_threadsafe(self._take, log, record)

    def _take(self, log: str, record: Record) -> None:
        try:
            self._waiting.put_nowait((log, record))
        except asyncio.QueueFull:
            _log.error("%s: no room for the record %s", log, record)

    async def run(self, stopping: asyncio.Event) -> None:
        """Puts what is told into the logs, until `stopping` is set."""
        self._loop = asyncio.get_running_loop()
        early, self._early = self._early, []
        for log, record in early:
            self._take(log, record)
        stopped = asyncio.create_task(stopping.wait())
        try:
            while not stopped.done():
                taking = asyncio.create_task(self._waiting.get())
                await asyncio.wait({taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not taking.done():
                    taking.cancel()
                    return
                await self._put(*taking.result())
        finally:
            stopped.cancel()

    async def _put(self, log: str, record: Record) -> None:
        try:
            await self._logs[log]([record])
        except (MunimentError, KeyError) as error:
            _log.error("%s: a record was not taken: %s: %s", log, error, record)
