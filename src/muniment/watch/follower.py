"""The follower of completeness: one log, what its counters and numbers say against its entries.

Every so often it reads the looks at counters and the parcels that became searchable, lets each
look rest for the grace (lines are written when requests end, and come when they come), has the
entries counted in the query process, and commits what follows. Records are durable before the
books are saved; after a crash it finds its own records behind the books and says nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from muniment.clock import Clock
from muniment.errors import MunimentError, Overloaded, QueryError, Unavailable
from muniment.log.disk import Disk
from muniment.watch import books as files
from muniment.watch.beginning import COUNTERS, OWN, PAGE, begin, counted, take_look
from muniment.watch.books import Books
from muniment.watch.port import Put, Query
from muniment.watch.reconcile import Act, Finding, Ledger
from muniment.watch.records import (
    Counted,
    Numbered,
    Record,
    fields_of,
    milliseconds,
    of_counter,
    of_hole,
    of_repeated,
)
from muniment.watch.segment import Segment
from muniment.watch.sequence import Sequence

PATIENCE = 3
"""So many times the grace, a look that makes a loss exact is waited for."""

SENDER_SECONDS = 10.0
UNCOUNTABLE = 10
"""Looks that are kept of a counter whose `match` is no query."""

INDEX_TRIES, INDEX_PAUSE = 100, 0.05
_logger = logging.getLogger(__name__)


class Completeness:
    """Follows one log. All methods belong to the event loop; `grace` and `interval` are seconds."""

    def __init__(
        self,
        log: str,
        query: Query,
        sizes: Callable[[], Mapping[str, int]],
        put: Put,
        path: Path,
        *,
        clock: Clock,
        disk: Disk,
        interval: float,
        grace: float,
    ) -> None:
        self.log = log
        self._query, self._sizes, self._put = query, sizes, put
        self._path, self._clock, self._disk = path, clock, disk
        self._interval, self._grace = interval, int(grace * 1000)
        self._books: Books | None = None
        self._told: dict[tuple[Counted, int, str], int] = {}
        self._repeated: set[bytes] = set()
        self._records: list[Record] = []
        self._saved = b""
        self.trouble = ""
        self.problems: dict[Counted, str] = {}

    @property
    def books(self) -> Books:
        """What is known now; empty before the first round."""
        return self._books or Books()

    async def run(self, stopping: asyncio.Event) -> None:
        """Goes on until `stopping`; what keeps it from counting is in `trouble`."""
        while not stopping.is_set():
            try:
                await self.round()
                self.trouble = ""
            except MunimentError as error:
                self.trouble = error.detail
            except OSError as error:
                self.trouble = f"{self._path}: {error.strerror}"
                _logger.warning("completeness of %s: %s", self.log, self.trouble)
            except Exception:
                self.trouble = "completeness failed within Muniment; its log says why"
                _logger.exception("completeness of %s failed", self.log)
                self._books = None  # half a round: begin again from the file
                self._records.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._interval)

    async def round(self) -> None:
        """Takes what is new, counts what is due, commits what follows, saves the books.

        Raises Unavailable where the index is not there yet; nothing is lost by trying again.
        """
        until = dict(self._sizes())
        now = self._now()
        await self._indexed(until)
        books = self._books or await self._open(until)
        self._books = books
        await self._take_looks(books, until)
        await self._take_parcels(books, until, now)
        await self._reconcile_all(books, until, now)
        books.forget(now)
        await self._commit()
        await self._save(books)

    async def _open(self, until: Mapping[str, int]) -> Books:
        """The books of the file, and what was told after it was saved."""
        books = await asyncio.to_thread(files.load, self._path)
        if books is None:
            return await begin(self._query, self.log, until, self._now())
        place = {shard: books.after.get(shard, -1) for shard in until}
        while _behind(place, until):
            answer = await self._query.tail(self.log, OWN, after=place, limit=PAGE, wait=0)
            for row in answer["rows"]:
                self._recall(fields_of(row))
            place = {shard: answer["after"][shard] for shard in until}
        return books

    def _recall(self, fields: Mapping[str, Any]) -> None:
        """Takes a record of our own that is younger than the books."""
        anchor, total = milliseconds(fields.get("since")), fields.get("total")
        gap = fields.get("action") in (Act.GAP, Act.CLOSED)
        if gap and anchor is not None and isinstance(total, int):
            self._told[counted(fields), anchor, str(fields.get("epoch"))] = total
        else:
            self._repeated.add(_identity(fields))

    async def _take_looks(self, books: Books, until: Mapping[str, int]) -> None:
        place = {shard: books.after.get(shard, -1) for shard in until}
        while _behind(place, until):
            answer = await self._query.tail(self.log, COUNTERS, after=place, limit=PAGE, wait=0)
            for row in sorted(answer["rows"], key=lambda row: row["time"]):
                take_look(books, row, {})
            books.after = place = {shard: answer["after"][shard] for shard in until}

    async def _take_parcels(self, books: Books, until: Mapping[str, int], now: int) -> None:
        since = {shard: books.seen.get(shard, 0) for shard in until}
        if since != until:
            for one in await self._query.sequences(self.log, since=since, until=until):
                self._number(books, one, now)
            books.seen = dict(until)
        for key, sequence in books.streams.items():
            for hole in sequence.missing(now, self._grace):
                self._tell(of_hole(key, Act.GAP, hole, now))

    def _number(self, books: Books, parcel: Mapping[str, Any], now: int) -> None:
        key = Numbered(parcel["sender"], parcel["stream"])
        first, last = parcel["first"], parcel["last"]
        known = books.streams.get(key)
        if known is None:
            books.streams[key] = Sequence(first, last, now)
            return
        again, closed = known.take(first, last, parcel["copies"], now)
        for hole in closed:
            self._tell(of_hole(key, Act.CLOSED, hole, now))
        if again:
            self._tell(of_repeated(key, first, last, again, now))

    async def _reconcile_all(self, books: Books, until: Mapping[str, int], now: int) -> None:
        """Counts for all counters, for each sender as long as SENDER_SECONDS at most.

        What a sender's time was not enough for goes first in the next round.
        """
        spent: dict[str, float] = {}
        for key in list(books.ledgers):
            if spent.get(key.sender, 0.0) >= SENDER_SECONDS:
                continue
            began = self._clock.monotonic()
            ledger = books.ledgers[key] = books.ledgers.pop(key)
            await self._reconcile(key, ledger, until, now)
            spent[key.sender] = spent.get(key.sender, 0.0) + self._clock.monotonic() - began

    async def _reconcile(
        self, key: Counted, ledger: Ledger, until: Mapping[str, int], now: int
    ) -> None:
        """Counts for one counter until no look is due any more."""
        while True:
            for segment in ledger.all():
                name = (key, segment.anchor.time, segment.anchor.epoch)
                segment.told = self._told.pop(name, segment.told)
            self._find(key, ledger, ledger.due(now, self._grace))
            before = ledger.current
            try:
                for segment in list(ledger.segments(now)):
                    await self._count(key, ledger, segment, until, now)
            except (QueryError, Overloaded) as error:  # the others are no worse for it
                self.problems[key] = f"{ledger.match!r} cannot be counted: {error.detail}"
                if isinstance(error, QueryError):
                    ledger.keep_newest(UNCOUNTABLE)
                return
            self.problems.pop(key, None)
            if ledger.current is before and not _is_due(ledger, now, self._grace):
                return

    async def _count(
        self,
        key: Counted,
        ledger: Ledger,
        segment: Segment,
        until: Mapping[str, int],
        now: int,
    ) -> None:
        tally = await self._query.tally(
            self.log,
            ledger.match,
            borders=segment.borders(),
            settled=segment.settled,
            since=segment.seen or until,
            until=until,
        )
        before = now - PATIENCE * self._grace
        found = ledger.counted(segment, tally, until, settle=self._grace, before=before)
        self._find(key, ledger, found)

    def _find(self, key: Counted, ledger: Ledger, found: Iterable[Finding]) -> None:
        for one in found:
            self._tell(of_counter(key, ledger.match, one))

    def _tell(self, record: Record) -> None:
        identity = _identity(record)
        if identity in self._repeated:
            self._repeated.discard(identity)
        else:
            self._records.append(record)

    async def _commit(self) -> None:
        while self._records:
            await self._put(self._records[:PAGE])
            del self._records[:PAGE]

    async def _save(self, books: Books) -> None:
        data = books.encode()
        if data != self._saved:
            await asyncio.to_thread(files.save, self._disk, self._path, data)
            self._saved = data

    async def _indexed(self, until: Mapping[str, int]) -> None:
        """Waits until all that is durable now is searchable. Raises Unavailable."""
        for _ in range(INDEX_TRIES):
            there = self._query.indexed(self.log)
            if all(there.get(shard, 0) >= size for shard, size in until.items()):
                return
            await asyncio.sleep(INDEX_PAUSE)
        raise Unavailable("the index is behind the log")

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _behind(place: Mapping[str, int], until: Mapping[str, int]) -> bool:
    """Whether there are entries below `until` behind the last one that was looked at."""
    return any(last < until[shard] - 1 for shard, last in place.items())


def _is_due(ledger: Ledger, now: int, grace: int) -> bool:
    return bool(ledger.waiting) and ledger.waiting[0].received + grace <= now


def _identity(fields: Mapping[str, Any]) -> bytes:
    """What makes a record the same as another one, whenever it is made."""
    numbered = ("action", "sender", "stream", "first", "last")
    counted = ("action", "sender", "instance", "name", "from", "to", "total")
    names = numbered if fields.get("reason") == "sequence" else counted
    return orjson.dumps([fields.get(name) for name in names])
