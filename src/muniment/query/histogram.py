"""How many entries match in each stretch of time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from muniment.errors import QueryError
from muniment.index.log_index import LogIndex
from muniment.index.snapshot import Snapshot
from muniment.query.bounds import Bounds, bounds
from muniment.query.condition import FALSE, TRUE, check
from muniment.query.engine import Engine, OutOfTime, Session
from muniment.query.parser import parse
from muniment.query.source import Source, sources
from muniment.query.syntax import Query

MAX_BUCKETS = 1_000


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts` of entries in stretches of `width` milliseconds from `start`.

    `partial` says that time ran out: the counts are then too low, from the oldest on.
    """

    start: int
    width: int
    counts: list[int]
    partial: bool


def histogram(
    index: LogIndex,
    snapshot: Snapshot,
    engine: Engine,
    q: str,
    *,
    start: int | None,
    end: int | None,
    buckets: int,
    seconds: float = 10.0,
) -> Histogram:
    """Counts the entries of a query over time; without `start` or `end`, over all that there is.

    Times are milliseconds since the epoch, `end` excluded. Raises QueryError, IndexDamaged,
    Overloaded.
    """
    if not 1 <= buckets <= MAX_BUCKETS:
        raise QueryError(f"buckets must be from 1 to {MAX_BUCKETS}")
    query = parse(q)
    check(query)
    tables = sources(index, snapshot, bounds(query))
    if start is None:
        start = min((table.earliest for table in tables), default=0)
    if end is None:
        end = max((table.latest + 1 for table in tables), default=start + 1)
    if end <= start:
        raise QueryError("the end must be after the start")
    width = -(-(end - start) // buckets)
    grid = _Grid(query, start, end, width)
    partial = False
    tables = [t for t in tables if t.earliest < end and t.latest >= start]
    with engine.session(seconds) as session:
        for table in sorted(tables, key=lambda table: table.latest, reverse=True):
            try:
                grid.count(session, table)
            except OutOfTime:
                partial = True
                break
    size = -(-(end - start) // width)
    return Histogram(start, width, [grid.counts[number] for number in range(size)], partial)


class _Grid:
    """Counts by the number of the bucket."""

    def __init__(self, query: Query, start: int, end: int, width: int) -> None:
        self.counts: Counter[int] = Counter()
        self._query = query
        self._bounds = Bounds(start, end)
        self._width = width

    def count(self, session: Session, source: Source) -> None:
        """Adds the rows of one table."""
        condition = source.condition(self._query)
        if condition is FALSE:
            return
        start, end = self._bounds.start, self._bounds.end
        first, last = ((time - start) // self._width for time in (source.earliest, source.latest))
        inside = start <= source.earliest and source.latest < end
        if condition is TRUE and inside and first == last:
            self.counts[first] += source.rows
            return
        table, values = source.table(session)
        found = session.fetch(
            f'SELECT (e."time" - ?) // ? AS bucket, count(*) AS n FROM {table} e '  # noqa: S608
            f'WHERE e."time" >= ? AND e."time" < ? AND {condition.sql} GROUP BY bucket',
            [start, self._width, *values, start, end, *condition.values],
        )
        for bucket, n in zip(found["bucket"].to_pylist(), found["n"].to_pylist(), strict=True):
            self.counts[int(bucket)] += n
