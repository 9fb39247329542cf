"""Search: the newest (or oldest) rows that match, a page at a time.

The tables are gone through from the newest to the oldest, and only keys (time, shard, index) are
read at first; once a page is full with rows that are newer than any table left, the search ends.
Only then are whole rows read, so that memory is bounded by a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from muniment.errors import Overloaded, QueryError
from muniment.index.log_index import LogIndex
from muniment.index.snapshot import Snapshot
from muniment.query.bounds import Bounds, bounds
from muniment.query.condition import FALSE, TRUE, Condition, check
from muniment.query.cursor import Cursor, decode_cursor, query_key
from muniment.query.engine import Engine, OutOfTime, Session
from muniment.query.parser import parse
from muniment.query.source import Source, fetch_texts, sources

MAX_LIMIT = 1_000
MAX_PAGE_BYTES = 8 << 20
ORDERS = ("newest", "oldest")
_FETCH = 100
_TOO_LONG = "the search ran out of time; ask for less time, or for something rarer"
_END = "\U0010ffff"


class Key(NamedTuple):
    """Where a row stands in the order, and in which table it is."""

    time: int
    shard: str
    entry: int
    source: int
    place: int


@dataclass(frozen=True, slots=True)
class Request:
    """What is searched for; `start` and `end` are milliseconds since the epoch, `end` excluded."""

    q: str = ""
    start: int | None = None
    end: int | None = None
    limit: int = 100
    cursor: str | None = None
    order: str = "newest"


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON texts; `next` is where the next page begins, None at the end.

    `partial` says that time ran out: there may be more rows even on this page's stretch of time,
    and `next` goes on from there.
    """

    rows: list[bytes]
    next: str | None
    partial: bool


def search(
    index: LogIndex, snapshot: Snapshot, engine: Engine, request: Request, seconds: float = 10.0
) -> Page:
    """Returns a page of rows. Raises QueryError, IndexDamaged, Overloaded."""
    return _Search(index, snapshot, request).run(engine, seconds)


class _Search:
    def __init__(self, index: LogIndex, snapshot: Snapshot, request: Request) -> None:
        if not 1 <= request.limit <= MAX_LIMIT:
            raise QueryError(f"limit must be from 1 to {MAX_LIMIT}")
        if request.order not in ORDERS:
            raise QueryError("order must be newest or oldest")
        self.query = parse(request.q)
        check(self.query)
        self.limit = request.limit
        self.newest = request.order == "newest"
        self.key = query_key(index.log, request.q, request.start, request.end, request.order)
        self.reach: Mapping[str, int] = snapshot.cursors
        self.after: Cursor | None = None
        if request.cursor:
            self.after = decode_cursor(request.cursor, self.key)
            self.reach = self.after.reach
        self.bounds = self._bounds(request)
        self.sources = self._sources(index, snapshot)
        self.keys: list[Key] = []

    def _bounds(self, request: Request) -> Bounds:
        found = bounds(self.query)
        given = Bounds(
            start=Bounds().start if request.start is None else request.start,
            end=Bounds().end if request.end is None else request.end,
        )
        found = found.meet(given)
        if self.after is None:
            return found
        if self.newest:
            return found.meet(Bounds(end=self.after.time + 1))
        return found.meet(Bounds(start=self.after.time))

    def _sources(self, index: LogIndex, snapshot: Snapshot) -> list[Source]:
        found = sources(index, snapshot, self.bounds)
        if self.newest:
            return sorted(found, key=lambda source: source.latest, reverse=True)
        return sorted(found, key=lambda source: source.earliest)

    def run(self, engine: Engine, seconds: float) -> Page:
        with engine.session(seconds) as session:
            border: int | None = None
            for number, source in enumerate(self.sources):
                if self._full(source):
                    break
                try:
                    self._look(session, number, source)
                except OutOfTime as error:
                    if number == 0:
                        raise Overloaded(_TOO_LONG) from error
                    border = source.latest if self.newest else source.earliest
                    break
        with engine.session(seconds) as session:
            try:
                return self._page(session, border)
            except OutOfTime as error:
                raise Overloaded(_TOO_LONG) from error

    def _full(self, source: Source) -> bool:
        """Whether a whole page lies before anything that this table, or one after it, holds."""
        if len(self.keys) <= self.limit:
            return False
        last = self.keys[self.limit].time
        return last > source.latest if self.newest else last < source.earliest

    def _look(self, session: Session, number: int, source: Source) -> None:
        """Takes the keys of one table that may be on the page."""
        condition = source.condition(self.query)
        if condition is FALSE:
            return
        reach = self._reach(source)
        if reach is FALSE:
            return
        table, values = source.table(session)
        parts = [condition, reach, self._window(), self._after()]
        sql, tests = _conjunction(parts)
        way = "DESC" if self.newest else "ASC"
        found = session.fetch(  # the names are ours, all values are parameters
            f'SELECT e."time", e."shard", e."index", e.place FROM {table} e WHERE {sql} '  # noqa: S608
            f'ORDER BY e."time" {way}, e."shard", e."index" {way} LIMIT ?',
            [*values, *tests, self.limit + 1],
        )
        columns = (found[name].to_pylist() for name in ("time", "shard", "index", "place"))
        self.keys += [
            Key(time, shard, entry, number, place)
            for time, shard, entry, place in zip(*columns, strict=True)
        ]
        sign = -1 if self.newest else 1
        self.keys.sort(key=lambda key: (sign * key.time, key.shard, sign * key.entry))
        del self.keys[self.limit + 1 :]

    def _window(self) -> Condition:
        start, end = self.bounds.start, self.bounds.end
        if len(self.keys) > self.limit:
            # What comes after the last key that is kept need not even be read.
            last = self.keys[self.limit].time
            start, end = (max(start, last), end) if self.newest else (start, min(end, last + 1))
        tests = []
        if start > Bounds().start:
            tests.append(Condition('e."time" >= ?', (start,)))
        if end < Bounds().end:
            tests.append(Condition('e."time" < ?', (end,)))
        sql, values = _conjunction(tests)
        return Condition(sql, values) if tests else TRUE

    def _after(self) -> Condition:
        if self.after is None:
            return TRUE
        less = "<" if self.newest else ">"
        at = self.after
        return Condition(
            f'(e."time" {less} ? OR (e."time" = ? AND '
            f'(e."shard" > ? OR (e."shard" = ? AND e."index" {less} ?))))',
            (at.time, at.time, at.shard, at.shard, at.index),
        )

    def _reach(self, source: Source) -> Condition:
        """Leaves out rows that came after the first page was made."""
        if self.after is None:
            return TRUE
        if source.part is not None:
            reach = self.reach.get(source.part.shard, 0)
            if source.part.first >= reach:
                return FALSE
            return TRUE if source.part.last < reach else Condition('e."index" < ?', (reach,))
        tests = [
            Condition('(e."shard" = ? AND e."index" < ?)', (shard, reach))
            for shard, reach in self.reach.items()
        ]
        if not tests:
            return FALSE
        values = tuple(value for test in tests for value in test.values)
        return Condition("(" + " OR ".join(test.sql for test in tests) + ")", values)

    def _page(self, session: Session, border: int | None) -> Page:
        keys = self.keys
        if border is not None:
            # Only rows that are before anything not looked at are sure to be next.
            keys = [k for k in keys if (k.time > border if self.newest else k.time < border)]
        wanted = keys[: self.limit]
        rows: list[bytes] = []
        size = 0
        for start in range(0, len(wanted), _FETCH):
            some = [(key.source, key.place) for key in wanted[start : start + _FETCH]]
            for row in fetch_texts(session, self.sources, some):
                if rows and size + len(row) > MAX_PAGE_BYTES:
                    return Page(rows, self._cursor(wanted[len(rows) - 1]), False)
                rows.append(row)
                size += len(row)
        if len(keys) > self.limit:
            return Page(rows, self._cursor(wanted[-1]), False)
        if border is not None:
            return Page(rows, self._resume(border), True)
        return Page(rows, None, False)

    def _cursor(self, last: Key) -> str:
        return Cursor(self.key, last.time, last.shard, last.entry, dict(self.reach)).encode()

    def _resume(self, border: int) -> str:
        """A cursor before all rows of the time `border`."""
        edge = border + 1 if self.newest else border - 1
        return Cursor(self.key, edge, _END, 0, dict(self.reach)).encode()


def _conjunction(parts: list[Condition]) -> tuple[str, tuple[Any, ...]]:
    parts = [part for part in parts if part is not TRUE]
    if not parts:
        return "TRUE", ()
    return " AND ".join(p.sql for p in parts), tuple(v for p in parts for v in p.values)
