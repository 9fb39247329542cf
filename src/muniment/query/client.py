"""Search over the logs, for whoever owns the query process."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from muniment.errors import QueryError
from muniment.query.channel import Channel
from muniment.query.evicted import told
from muniment.query.instant import span
from muniment.query.stretch import Tally
from muniment.settings.store import StoreSettings

_SILENCE_SECONDS = 10.0
"""A process that has said nothing for so long is not following; it speaks every second."""

Time = int | str | None
"""Milliseconds since the epoch, or text as `instant.span` reads it; None is no bound."""


class QueryProcess:
    """Search over the logs of a data directory, in a process of its own.

    All methods but `advance`, `follow`, `lag` and `duplicates` belong to one event loop. While the
    process is not there, questions fail with Unavailable; those that it dies on do, too. It is
    started again by itself.
    """

    def __init__(
        self,
        data: Path,
        logs: Mapping[str, Sequence[str]],
        command: Sequence[str] = (sys.executable, "-m", "muniment.query.process"),
        *,
        sources: Path | None = None,
        sources_python: bool = False,
        store: StoreSettings | None = None,
    ) -> None:
        """`logs` are all logs, each with the shards that are known so far; more may come.

        `store` is the primary store, where segments are that are not on the disk any more.
        """
        self._store = None if store is None else told(store)
        self._logs = {log: dict.fromkeys(shards) for log, shards in logs.items()}
        self._sizes: dict[str, dict[str, int]] = {}
        self._indexed: dict[str, dict[str, int]] = {}
        self._duplicates: dict[str, tuple[int, int]] = {}
        self._lags: dict[str, int] = {}
        self._following: frozenset[str] = frozenset()
        self._heard = 0.0
        self._grown = asyncio.Event()
        own = () if sources is None else ("--sources", str(sources))
        python = ("--sources-python",) if sources_python else ()
        self._channel = Channel(
            (*command, "--data", str(data), *own, *python), self._beginning, self._take_news
        )

    def _beginning(self) -> dict[str, Any]:
        logs = {log: list(shards) for log, shards in self._logs.copy().items()}
        return {"logs": logs, "store": self._store}

    async def start(self) -> None:
        """Starts the process and returns once it answers, or once it is clear that it does not.

        In the latter case it is tried again in the background.
        """
        await self._channel.open()

    async def close(self) -> None:
        """Ends the process: it flushes first."""
        await self._channel.close()

    @property
    def pid(self) -> int | None:
        """The id of the process; None while there is none."""
        return self._channel.pid

    def follow(self, log: str, shards: Iterable[str]) -> None:
        """Makes shards of a log known before they have a size. For any thread."""
        for shard in shards:
            if shard not in self._logs.get(log, {}):
                self.advance(log, shard, 0)

    def advance(self, log: str, shard: str, size: int) -> None:
        """Tells the durable size of a shard. For any thread; never blocks.

        It may be a shard that was not there before; its folder is. What is told is on the disk for
        good, and ends with a group commit.
        """
        self._logs.setdefault(log, {})[shard] = None
        self._sizes.setdefault(log, {})[shard] = size
        self._count(log)
        self._channel.advance(log, shard, size)

    async def search(
        self,
        log: str,
        q: str = "",
        *,
        start: Time = None,
        end: Time = None,
        limit: int = 100,
        cursor: str | None = None,
        order: str = "newest",
    ) -> dict[str, Any]:
        """Returns {rows, next, indexed, lag, partial}: a page of the rows that match.

        `order` is `newest` or `oldest`; `end` is excluded; `next` is the cursor of the next page.
        `indexed` is the index after the last searchable entry of each shard, `lag` how many
        durable entries are not searchable yet; `partial` says that time ran out.
        Raises QueryError, UnknownLog, Overloaded, Unavailable.
        """
        return await self._of_log(
            "search",
            log,
            q=q,
            start=_first(start),
            end=_first(end),
            limit=limit,
            cursor=cursor,
            order=order,
        )

    async def histogram(
        self, log: str, q: str = "", *, start: Time = None, end: Time = None, buckets: int = 60
    ) -> dict[str, Any]:
        """Returns {start, width, counts, total, indexed, lag, partial}.

        `counts[i]` entries match in the `width` milliseconds from `start + i * width`. Without
        `start` or `end`, all that match decide. Raises as `search`.
        """
        return await self._of_log(
            "histogram", log, q=q, start=_first(start), end=_first(end), buckets=buckets
        )

    async def sql(
        self, statement: str, *, log: str | Sequence[str], limit: int = 1_000
    ) -> dict[str, Any]:
        """Returns {columns: [{name, type}], rows: [[...]], truncated, lag} of one SELECT.

        `log` is the log, or all the logs, that the caller may read: the table `events` has all of
        them, and each is a table under its name. Raises as `search`.
        """
        logs = [log] if isinstance(log, str) else list(log)
        return await self._channel.ask("sql", statement=statement, logs=logs, limit=limit)

    async def tail(
        self,
        log: str,
        q: str = "",
        *,
        after: Mapping[str, int] | None = None,
        limit: int = 100,
        wait: float = 10.0,
    ) -> dict[str, Any]:
        """Returns {rows, after, indexed, lag}: rows beyond `after`, in log order.

        Waits up to `wait` seconds for the first. `after` names the last entry of each shard that
        was seen; a shard that it does not name is taken from its present end. The `after` of the
        answer is for the next call. Raises as `search`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        place = dict(after or {})
        while True:
            answer = await self._of_log("tail", log, q=q, after=place, limit=limit)
            place = answer["after"]
            left = deadline - loop.time()
            if answer["rows"] or left <= 0:
                return answer
            await self._growth(log, place, left)

    async def _of_log(self, question: str, log: str, **asked: Any) -> dict[str, Any]:
        """Asks, and counts the lag here: the process may not know yet what is durable."""
        durable = dict(self._sizes.get(log, {}))
        answer = await self._channel.ask(question, log=log, **asked)
        answer["lag"] = _behind(durable, answer["indexed"])
        return answer

    async def ask(self, question: str, log: str, **asked: Any) -> dict[str, Any]:
        """Returns what a function of `muniment.query.history.questions` answers, and `lag`.

        Raises NotFound, and as `search`.
        """
        return await self._channel.ask(question, log=log, **asked)

    async def tally(
        self,
        log: str,
        q: str,
        *,
        borders: Sequence[int],
        settled: int,
        since: Mapping[str, int],
        until: Mapping[str, int],
    ) -> Tally:
        """Counts the entries of a query between looks at a counter; see `query.tally`.

        Raises Unavailable where the index is not at `until` yet, and as `search`.
        """
        answer = await self._channel.ask(
            "tally", log=log, q=q, borders=borders, settled=settled, since=since, until=until
        )
        return Tally(**answer)

    async def sequences(
        self, log: str, *, since: Mapping[str, int], until: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """Returns what came of capture streams as {sender, stream, first, last, copies}.

        Raises as `tally`.
        """
        answer = await self._channel.ask("sequences", log=log, since=since, until=until)
        return list(answer["parcels"])

    async def status(self) -> dict[str, Any]:
        """Returns {logs: {log: state}, resident_bytes}.

        A log's state is {state, detail, rows, memory_rows, memory_bytes, parts, duplicates,
        conflicts, shards}, where `state` is `ready`, `index-damaged` or the slug of another error,
        and a shard's is {indexed, size, lag} and perhaps `trouble`; see `duplicates`. Raises
        Unavailable while the process is not there.
        """
        return await self._channel.ask("status")

    def indexed(self, log: str) -> dict[str, int]:
        """Returns the index after the last searchable entry of each shard, as last told."""
        return dict(self._indexed.get(log, {}))

    def lag(self, log: str) -> int | None:
        """Returns how many durable entries are not searchable yet, as far as was told.

        None where the index is not following, so that waiting for it would be of no use: it is
        damaged or missing, its files or those of the log cannot be used, or its process is not
        there or says nothing. For any thread; asks nobody.
        """
        if log not in self._following or time.monotonic() - self._heard > _SILENCE_SECONDS:
            return None
        return self._lags.get(log, 0)

    def duplicates(self, log: str) -> tuple[int, int]:
        """Returns how many entries the index left out as copies of others, as last told.

        And how many batches it did not leave out although their id had come with other entries,
        since the process was started. For any thread; asks nobody.
        """
        return self._duplicates.get(log, (0, 0))

    def _count(self, log: str) -> None:
        """Notes the lag of a log; each request asks for it, and only commits and news change it."""
        indexed = self._indexed.get(log, {})
        self._lags[log] = _behind(self._sizes.get(log, {}).copy(), indexed)

    def _take_news(self, news: Mapping[str, Any]) -> None:
        indexed = news["indexed"]
        self._indexed |= indexed
        self._duplicates |= {log: (a, b) for log, (a, b) in news["duplicates"].items()}
        for log in indexed:
            self._count(log)
        self._following = frozenset(news["following"])
        self._heard = time.monotonic()
        self._grown.set()
        self._grown = asyncio.Event()

    async def _growth(self, log: str, place: Mapping[str, int], seconds: float) -> None:
        """Waits until something beyond `place` is searchable, or time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0:
            grown = self._grown
            now = self._indexed.get(log, {})
            if any(next_ - 1 > place.get(shard, -1) for shard, next_ in now.items()):
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(grown.wait(), left)


def _behind(sizes: Mapping[str, int], indexed: Mapping[str, int]) -> int:
    """How many entries of these shards are not searchable yet."""
    return sum(max(0, size - indexed.get(shard, 0)) for shard, size in sizes.items())


def _first(time: Time) -> int | None:
    """The first millisecond of a time. Raises QueryError."""
    if time is None or isinstance(time, int):
        return time
    try:
        return span(time)[0]
    except ValueError as error:
        raise QueryError(str(error)) from error
