"""How many entries match, by what some columns say: which backends, servers, statuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from muniment.errors import QueryError
from muniment.index.log_index import LogIndex
from muniment.index.snapshot import Snapshot
from muniment.query.bounds import bounds
from muniment.query.condition import FALSE, check
from muniment.query.engine import Engine
from muniment.query.field import LEAVES
from muniment.query.history.lookup import session
from muniment.query.parser import parse
from muniment.query.source import sources

MAX_GROUPS = 1_000
"""Groups of one table that are counted: those with the most entries."""

MAX_COLUMNS = 8


def count_groups(
    index: LogIndex,
    snapshot: Snapshot,
    engine: Engine,
    q: str,
    by: Sequence[str],
    start: int,
    end: int,
    limit: int,
) -> list[dict[str, Any]]:
    """Returns [{"values": [one for each column in `by`], "count"}], most entries first.

    Times are milliseconds since the epoch, `end` excluded. A column that an entry lacks is None.
    Raises QueryError, IndexDamaged, Overloaded.
    """
    if not 1 <= len(by) <= MAX_COLUMNS or not LEAVES.issuperset(by):
        raise QueryError(f"there are no such columns to count by: {', '.join(by)[:200]}")
    query = parse(q)
    check(query)
    counts: Counter[tuple[Any, ...]] = Counter()
    with session(engine) as opened:
        for table in sources(index, snapshot, bounds(query)):
            condition = table.condition(query)
            if condition is FALSE or table.earliest >= end or table.latest < start:
                continue
            name, own = table.table(opened)
            have = table.columns()
            columns = [_column(path) if path in have else "NULL" for path in by]
            chosen = ", ".join(f"{sql} AS c{place}" for place, sql in enumerate(columns))
            groups = ", ".join(f"c{place}" for place in range(len(by)))
            found = opened.fetch(  # the names are ours, all values are parameters
                f'SELECT {chosen}, count(*) AS n FROM {name} e WHERE e."time" >= ? '  # noqa: S608
                f'AND e."time" < ? AND {condition.sql} GROUP BY {groups} ORDER BY n DESC LIMIT ?',
                [*own, start, end, *condition.values, MAX_GROUPS],
            )
            keys = zip(*(found[f"c{place}"].to_pylist() for place in range(len(by))), strict=True)
            for key, n in zip(keys, found["n"].to_pylist(), strict=True):
                counts[key] += n
    return [{"values": list(key), "count": n} for key, n in counts.most_common(limit)]


def _column(path: str) -> str:
    return "e." + ".".join(f'"{name}"' for name in path.split("."))
