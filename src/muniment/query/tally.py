"""Counting entries for completeness: between looks at a counter, and by number in a stream.

Both go by what is new: entries below `until` of each shard count, and those below `since` have
been counted before, so that nobody counts twice what comes late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from muniment.errors import Overloaded, QueryError, Unavailable
from muniment.index.log_index import LogIndex
from muniment.index.snapshot import Snapshot
from muniment.query.bounds import Bounds
from muniment.query.condition import FALSE, TRUE, Condition, check
from muniment.query.engine import Engine, OutOfTime, Session
from muniment.query.parser import parse
from muniment.query.source import Source, sources
from muniment.query.stretch import BACK_MS, HEAD_MS, MARGIN_MS, Group, Tally, tally

MAX_BORDERS = 2_048
_TOO_LONG = "counting ran out of time"

Places = Mapping[str, int]
"""By shard, the index of an entry."""


def tally_entries(
    index: LogIndex,
    snapshot: Snapshot,
    engine: Engine,
    q: str,
    *,
    borders: Sequence[int],
    settled: int,
    since: Places,
    until: Places,
    seconds: float = 20.0,
) -> Tally:
    """Counts the entries of a query between borders; see `stretch.tally`.

    Raises Unavailable where the index is not at `until` yet, QueryError, Overloaded.
    """
    _check_reach(snapshot, until)
    if not 1 <= len(borders) <= MAX_BORDERS or not 0 <= settled <= len(borders):
        raise QueryError(f"from 1 to {MAX_BORDERS} borders are taken")
    query = parse(q)
    check(query)
    window = _Window(borders, settled)
    groups: list[Group] = []
    with engine.session(seconds) as session:
        for source in sources(index, snapshot, Bounds()):
            reach = _reach(source, since, until, window.earliest)
            condition = source.condition(query)
            if reach is None or condition is FALSE:
                continue
            try:
                groups += window.count(session, source, condition, reach, since)
            except OutOfTime as error:
                raise Overloaded(_TOO_LONG) from error
    return tally(groups, borders, settled)


def sequences(
    index: LogIndex,
    snapshot: Snapshot,
    engine: Engine,
    *,
    since: Places,
    until: Places,
    seconds: float = 20.0,
) -> list[dict[str, Any]]:
    """Returns the parcels of capture streams as {sender, stream, first, last, copies}.

    Raises as `tally_entries`.
    """
    _check_reach(snapshot, until)
    found: list[dict[str, Any]] = []
    with engine.session(seconds) as session:
        for source in sources(index, snapshot, Bounds()):
            reach = _reach(source, since, until, None)
            if reach is None or not source.columns() >= {"stream", "metadata.sequence"}:
                continue
            try:
                found += _parcels(session, source, reach)
            except OutOfTime as error:
                raise Overloaded(_TOO_LONG) from error
    return _joined(found)


def _check_reach(snapshot: Snapshot, until: Places) -> None:
    for shard, size in until.items():
        if snapshot.cursors.get(shard, 0) < size:
            raise Unavailable("the index is not there yet")


def _reach(source: Source, since: Places, until: Places, earliest: int | None) -> Condition | None:
    """The rows of a table that are below `until` and new, or not before `earliest`; None: none."""
    part = source.part
    shards = [part.shard] if part is not None else list(until)
    tests, values = [], []
    for shard in shards:
        begin, end = since.get(shard, 0), until.get(shard, 0)
        old = earliest is not None and (source.latest >= earliest)
        if part is not None and (part.first >= end or (part.last < begin and not old)):
            return None
        test = 'e."shard" = ? AND e."index" < ?'
        values += [shard, end]
        if old and earliest is not None:
            test += ' AND (e."index" >= ? OR e."time" >= ?)'
            values += [begin, earliest]
        else:
            test += ' AND e."index" >= ?'
            values += [begin]
        tests.append(f"({test})")
    return Condition("(" + " OR ".join(tests) + ")", tuple(values)) if tests else None


class _Window:
    """The stretches of rows, as far as they matter between borders."""

    def __init__(self, borders: Sequence[int], settled: int) -> None:
        self._first, self._last = borders[0], borders[-1]
        self._done = borders[settled - 1] if settled else self._first
        whole = settled == len(borders)  # nothing but what is new can lie before the last border
        self.earliest = None if whole else self._done - BACK_MS

    def count(
        self,
        session: Session,
        source: Source,
        condition: Condition,
        reach: Condition,
        since: Places,
    ) -> list[Group]:
        """Groups of rows that are alike; those that no border tells apart are one."""
        columns = source.columns()
        took = 'coalesce(e."duration", 0)' if "duration" in columns else "0"
        head = 'coalesce(e."timings"."request", 0)' if "timings.request" in columns else "0"
        table, values = source.table(session)
        new = " ".join('WHEN e."shard" = ? THEN e."index" >= ?' for _ in since)
        news = [value for pair in since.items() for value in pair]
        where = [reach] if condition is TRUE else [reach, condition]
        sql = f"""
            SELECT CASE WHEN began < ? THEN ? WHEN NOT fresh AND began < ? THEN ?
                        ELSE least(began, ?) END AS low,
                   CASE WHEN ended < ? THEN ? WHEN NOT fresh AND ended < ? THEN ?
                        ELSE least(ended, ?) END AS high,
                   fresh, count(*) AS n
            FROM (SELECT e."time" - greatest({took}, 0) - ? AS began,
                         e."time" + least(greatest({head}, 0), ?) + ?
                           + CASE WHEN e."time" % 1000 = 0 THEN 1000 ELSE 0 END AS ended,
                         {f"CASE {new} ELSE TRUE END" if new else "TRUE"} AS fresh
                  FROM {table} e WHERE {" AND ".join(part.sql for part in where)})
            GROUP BY ALL"""  # noqa: S608 (the names are ours, all values are parameters)
        before, behind = self._first - 1, self._done - 1
        limits = [self._first, before, self._done, max(self._first, behind), self._last]
        others = [self._first, before, self._done, behind, self._last]
        found = session.fetch(
            sql,
            [
                *limits,
                *others,
                MARGIN_MS,
                HEAD_MS,
                MARGIN_MS,
                *news,
                *values,
                *(value for part in where for value in part.values),
            ],
        )
        named = (found[name].to_pylist() for name in ("low", "high", "fresh", "n"))
        return list(zip(*named, strict=True))


def _parcels(session: Session, source: Source, reach: Condition) -> list[dict[str, Any]]:
    columns = source.columns()
    sender = "coalesce(e.\"sender\", '')" if "sender" in columns else "''"
    whole = "TRUE"
    if "parse_error" in columns:
        whole = """(e."parse_error" IS NULL OR NOT regexp_matches(e."parse_error",
                    '^part ([2-9]|1[0-9]+|[2-9][0-9]+) of [0-9]+ of a record'))"""
    table, values = source.table(session)
    sql = f"""
        SELECT {sender} AS sender, e."stream" AS stream, e."metadata"."sequence" AS seq,
               e."received" AS received, count(*) FILTER (WHERE {whole}) AS n
        FROM {table} e WHERE {reach.sql} AND e."stream" IS NOT NULL
             AND e."metadata"."sequence" IS NOT NULL
        GROUP BY ALL"""  # noqa: S608 (the names are ours, all values are parameters)
    rows: list[dict[str, Any]] = session.fetch(sql, [*values, *reach.values]).to_pylist()
    return rows


def _joined(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parcels, each once however many tables hold a piece of it, joined where they adjoin."""
    counts: dict[tuple[str, str, int], dict[Any, int]] = {}
    for row in rows:
        copies = counts.setdefault((row["sender"], row["stream"], row["seq"]), {})
        copies[row["received"]] = copies.get(row["received"], 0) + row["n"]
    runs: list[dict[str, Any]] = []
    for (sender, stream, seq), copies in sorted(counts.items()):
        last = seq + max(copies.values()) - 1
        before = runs[-1] if runs else None
        if (
            before
            and len(copies) == 1
            and (before["sender"], before["stream"], before["last"]) == (sender, stream, seq - 1)
            and before["copies"] == 1
        ):
            before["last"] = last
        else:
            runs.append(
                {
                    "sender": sender,
                    "stream": stream,
                    "first": seq,
                    "last": last,
                    "copies": len(copies),
                }
            )
    return runs
