"""The owner's end of the line to the query process: starts it, asks it, starts it again."""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from threading import Lock
from typing import Any

import orjson

from muniment.errors import Overloaded, QueryError, Unavailable
from muniment.query.protocol import MAX_LINE, MAX_REQUEST, read_error

MAX_WAITING = 64
MAX_UNREAD = 8 * MAX_REQUEST
"""Bytes that wait for the process to read them; who gave up on an answer has left his there."""

_ANSWER_SECONDS = 60.0
_LISTEN_SECONDS, _SILENCES = 5.0, 12
"""A process speaks every second. One that says nothing for so many spans hangs: it is ended and
started again. Spans are counted, so that a machine that slept is no reason."""
_CLOSE_SECONDS = 20.0
_FIRST_DELAY = 0.2
_LAST_DELAY = 10.0
_HEALTHY_SECONDS = 30.0
MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "16777216",
    "POLARS_MAX_THREADS": "1",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:100,muzzy_decay_ms:0",
}
"""Memory is used again and again and handed back after each flush: fresh pages for every column of
every turn would cost the follower a third of its time."""
_TELL_SECONDS = 0.02
"""Commits that follow each other within this are told together."""

_log = logging.getLogger(__name__)

Answer = dict[str, Any]


class Channel:
    """Keeps a process running and carries questions and answers.

    `beginning` gives what a process is told first, whenever one starts; `on_news` is given what
    it tells by itself, see `protocol`.
    """

    def __init__(
        self,
        command: Sequence[str],
        beginning: Callable[[], Mapping[str, Any]],
        on_news: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._command = command
        self._beginning = beginning
        self._on_news = on_news
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._process: Process | None = None
        self._ready = False
        self._heard = 0
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = Lock()
        self._sizes: dict[tuple[str, str], int] = {}
        self._news: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return self._process.pid if self._process is not None else None

    async def open(self) -> None:
        """Starts the process; returns once it is ready, or once the first attempt has failed."""
        self._loop = asyncio.get_running_loop()
        up = asyncio.Event()
        self._task = asyncio.create_task(self._keep(up))
        await up.wait()

    async def close(self) -> None:
        """Ends the process, which flushes first; kills it when that takes too long."""
        self._closing.set()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
            if not done and process is not None:
                with suppress(ProcessLookupError):
                    process.kill()
            await self._task

    def advance(self, log: str, shard: str, size: int) -> None:
        """Tells the durable size of a shard. For any thread; never blocks."""
        with self._lock:
            self._sizes[log, shard] = size
            quiet = not self._news
            self._news.add((log, shard))
        if quiet and self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and so has the process
                self._loop.call_soon_threadsafe(self._wake.set)

    async def ask(self, operation: str, **arguments: Any) -> Answer:
        """Returns the answer. Raises what the process raised, Overloaded or Unavailable."""
        if not self._ready:
            raise Unavailable("the query process is starting")
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded("too many queries at once")
        return await self._ask(operation, arguments, _ANSWER_SECONDS)

    async def _ask(
        self, operation: str, arguments: Mapping[str, Any], seconds: float | None
    ) -> Answer:
        number = next(self._numbers)
        line = orjson.dumps({"id": number, "op": operation, "args": arguments}) + b"\n"
        if len(line) > MAX_REQUEST:
            raise QueryError("the query is too long")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(seconds):
                await self._send(line)  # one that hangs does not read either
                return await answer
        except TimeoutError as error:
            raise Unavailable("the query process did not answer in time") from error
        finally:
            del self._waiting[number]
            answer.cancel()

    async def _send(self, line: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise Unavailable("the query process is starting")
        if process.stdin.transport.get_write_buffer_size() > MAX_UNREAD:
            raise Overloaded("the query process does not read what it is asked")
        try:
            process.stdin.write(line)
            await process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise Unavailable("the query process has ended") from error

    async def _keep(self, up: asyncio.Event) -> None:
        """Runs the process again and again, until closing."""
        loop = asyncio.get_running_loop()
        delay = _FIRST_DELAY
        while not self._closing.is_set():
            began = loop.time()
            try:
                await self._run(up)
            except OSError as error:
                _log.error("the query process cannot be started: %s", error)
            up.set()
            if self._closing.is_set():
                return
            healthy = loop.time() - began > _HEALTHY_SECONDS
            delay = _FIRST_DELAY if healthy else min(delay * 2, _LAST_DELAY)
            _log.error("the query process has ended; starting it again in %.1f s", delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), delay)

    async def _run(self, up: asyncio.Event) -> None:
        """Runs one process to its end."""
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=MAX_LINE, env=os.environ | MEMORY
        )
        self._process = process
        self._heard = 0
        tasks = [asyncio.create_task(self._tell(up)), asyncio.create_task(self._watch(process))]
        try:
            await self._listen(process)
        finally:
            self._ready = False
            self._process = None
            self._on_news({"indexed": {}, "following": [], "duplicates": {}})
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Unavailable("the query process has ended"))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._closing.is_set() and process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
            await process.wait()

    async def _watch(self, process: Process) -> None:
        """Ends a process that has spoken and falls silent; tells of one that has not spoken yet."""
        silences, seconds = 0, _SILENCES * _LISTEN_SECONDS
        while not (heard := self._heard) or silences < _SILENCES:
            await asyncio.sleep(_LISTEN_SECONDS)
            silences = silences + 1 if heard == self._heard else 0
            if silences == _SILENCES and not heard:
                _log.warning("the query process is still starting after %.0f s", seconds)
        _log.error("the query process has said nothing for %.0f s: it is ended", seconds)
        with suppress(ProcessLookupError):
            process.kill()

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                _log.error("the query process sent too long a line")
                return
            if not line.endswith(b"\n"):
                return
            self._heard += 1
            message = orjson.loads(line)
            if "indexed" in message:
                self._on_news(message)
                continue
            answer = self._waiting.get(message["id"])
            if answer is None or answer.done():
                continue
            if "error" in message:
                answer.set_exception(read_error(message["error"]))
            else:
                answer.set_result(message["ok"])

    async def _tell(self, up: asyncio.Event) -> None:
        """Starts the follower in a new process, then tells it the sizes as they grow."""
        with self._lock:
            self._news = set(self._sizes)
        with suppress(Unavailable):
            # To open the indexes may take long; a process that hangs whole is ended by `_watch`.
            await self._ask("start", self._beginning(), None)
            self._ready = True
            up.set()
            while True:
                await self._tell_sizes()
                await asyncio.sleep(_TELL_SECONDS)
                await self._wake.wait()

    async def _tell_sizes(self) -> None:
        self._wake.clear()
        with self._lock:
            news = [(*key, self._sizes[key]) for key in self._news]
            self._news.clear()
        for log, shard, size in news:
            message = {"op": "advance", "log": log, "shard": shard, "size": size}
            await self._send(orjson.dumps(message) + b"\n")
