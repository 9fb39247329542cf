"""The newest rows as they come, in the order of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from muniment.errors import Overloaded, QueryError
from muniment.index.log_index import LogIndex
from muniment.index.snapshot import Snapshot
from muniment.query.bounds import Bounds
from muniment.query.condition import FALSE, check
from muniment.query.engine import Engine, OutOfTime, Session
from muniment.query.parser import parse
from muniment.query.source import Source, fetch_texts, sources
from muniment.query.syntax import Query

MAX_LIMIT = 1_000
MAX_BYTES = 8 << 20
MAX_SHARDS = 1_024
_FETCH = 100


@dataclass(frozen=True, slots=True)
class Tail:
    """Rows as JSON texts, and the index of the last entry of each shard that was looked at."""

    rows: list[bytes]
    after: dict[str, int]


def tail(
    index: LogIndex,
    snapshot: Snapshot,
    engine: Engine,
    q: str,
    *,
    shards: Iterable[str],
    after: Mapping[str, int],
    limit: int,
    seconds: float = 5.0,
) -> Tail:
    """Returns rows that match and whose index is above `after` of their shard, in log order.

    A shard of `shards` that `after` does not name is taken from its present end. Raises QueryError,
    IndexDamaged, Overloaded.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"limit must be from 1 to {MAX_LIMIT}")
    if len(after) > MAX_SHARDS:
        raise QueryError(f"more than {MAX_SHARDS} shards")
    query = parse(q)
    check(query)
    ends = dict.fromkeys(shards, -1)
    ends |= {shard: next_ - 1 for shard, next_ in snapshot.cursors.items()}
    place = dict(ends)
    place |= {shard: int(last) for shard, last in after.items()}
    behind = sorted(shard for shard, end in ends.items() if place[shard] < end)
    rows: list[bytes] = []
    for number, shard in enumerate(behind):
        share = (limit - len(rows)) // (len(behind) - number)
        if share < 1 or sum(map(len, rows)) > MAX_BYTES:
            continue
        bounds = Bounds(first=place[shard] + 1, after=ends[shard] + 1, shard=shard)
        walk = _Walk(sources(index, snapshot, bounds), bounds, share)
        try:
            with engine.session(seconds) as session:
                reached = walk.look(session, query)
            with engine.session(seconds) as session:
                found, place[shard] = walk.fetch(session, reached)
        except OutOfTime as error:
            raise Overloaded("the tail ran out of time") from error
        rows += found
    return Tail(rows, place)


class _Walk:
    """Goes through one shard's rows by their index."""

    def __init__(self, tables: list[Source], bounds: Bounds, limit: int) -> None:
        self._tables = sorted(tables, key=_first)
        self._bounds = bounds
        self._limit = limit
        self._keys: list[tuple[int, int, int]] = []

    def look(self, session: Session, query: Query) -> int:
        """Finds the rows; returns the index up to which everything was looked at."""
        for number, table in enumerate(self._tables):
            if len(self._keys) > self._limit and self._keys[self._limit][0] < _first(table):
                break
            try:
                self._look(session, number, table, query)
            except OutOfTime:
                return max(self._bounds.first, _first(table)) - 1
        return self._bounds.after - 1

    def _look(self, session: Session, number: int, source: Source, query: Query) -> None:
        condition = source.condition(query)
        if condition is FALSE:
            return
        table, values = source.table(session)
        found = session.fetch(
            f'SELECT e."index" AS entry, e.place AS place FROM {table} e '  # noqa: S608
            f'WHERE e."shard" = ? AND e."index" >= ? AND e."index" < ? AND {condition.sql} '
            'ORDER BY e."index" LIMIT ?',
            [
                *values,
                self._bounds.shard,
                self._bounds.first,
                self._bounds.after,
                *condition.values,
                self._limit + 1,
            ],
        )
        entries, places = found["entry"].to_pylist(), found["place"].to_pylist()
        self._keys += [(e, number, p) for e, p in zip(entries, places, strict=True)]
        self._keys.sort()
        del self._keys[self._limit + 1 :]

    def fetch(self, session: Session, reached: int) -> tuple[list[bytes], int]:
        """Returns the rows, and the index up to which they are complete."""
        keys = [key for key in self._keys if key[0] <= reached]
        if len(keys) > self._limit:
            keys = keys[: self._limit]
            reached = keys[-1][0]
        texts: list[bytes] = []
        size = 0
        for start in range(0, len(keys), _FETCH):
            some = [(table, place) for _, table, place in keys[start : start + _FETCH]]
            texts += fetch_texts(session, self._tables, some)
            size = sum(map(len, texts))
            if size > MAX_BYTES and len(texts) < len(keys):
                return texts, keys[len(texts) - 1][0]
        return texts, reached


def _first(source: Source) -> int:
    """The lowest index that a table can hold; recent rows come last."""
    return source.part.first if source.part is not None else 0
