"""The tables that a search goes through: parts of the index and recent rows, alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from muniment.index.columns import leaf_columns
from muniment.index.log_index import LogIndex
from muniment.index.part import Part
from muniment.index.snapshot import Recent, Snapshot
from muniment.query.bounds import Bounds
from muniment.query.condition import Condition, compile_query
from muniment.query.engine import Session
from muniment.query.rows import json_rows
from muniment.query.syntax import Query

_COLUMNS: dict[str, frozenset[str]] = {}
_KEPT_COLUMNS = 4_096


@dataclass(frozen=True, slots=True)
class Source:
    """A table to search: how many rows, of which times; `part` or `recent` is what it is."""

    rows: int
    earliest: int
    latest: int
    index: LogIndex
    part: Part | None = None
    recent: Recent | None = None

    def columns(self) -> frozenset[str]:
        """The leaf columns that the table has. Raises IndexDamaged."""
        if self.recent is not None:
            return self.recent.columns
        assert self.part is not None
        if self.part.columns is not None:
            return self.part.columns
        known = _COLUMNS.get(self.part.path)
        if known is None:
            known = leaf_columns(pq.read_schema(self.index.trusted(self.part)))
            while len(_COLUMNS) >= _KEPT_COLUMNS:
                _COLUMNS.pop(next(iter(_COLUMNS)))
            _COLUMNS[self.part.path] = known
        return known

    def condition(self, query: Query) -> Condition:
        """The condition of a query on this table; FALSE when no row can match."""
        return compile_query(query, self.columns())

    def table(self, session: Session) -> tuple[str, list[Any]]:
        """Returns SQL that names the table, with its values; its rows are numbered by `place`."""
        if self.recent is not None:
            name = f"recent_{id(self.recent)}"
            places = pa.array(range(self.rows), pa.int64())
            session.table(name, self.recent.table.append_column("place", places))
            return name, []
        assert self.part is not None
        path = str(self.index.trusted(self.part))
        return (
            "(SELECT *, file_row_number AS place FROM read_parquet(?, hive_partitioning = false))",
            [path],
        )

    def fetch(self, session: Session, places: Sequence[int]) -> pa.Table:
        """Returns whole rows by their places, with a column `place`, in any order."""
        if self.recent is not None:
            found = self.recent.table.take(pa.array(places, pa.int64()))
            return found.append_column("place", pa.array(places, pa.int64()))
        name, values = self.table(session)
        marks = ", ".join("?" * len(places))
        sql = f"SELECT * FROM {name} e WHERE place IN ({marks})"  # noqa: S608 (no value in it)
        return session.fetch(sql, [*values, *places])


def sources(index: LogIndex, snapshot: Snapshot, bounds: Bounds) -> list[Source]:
    """Returns the tables that can hold rows within the bounds."""
    found = []
    for part in snapshot.parts:
        if (
            part.earliest < bounds.end
            and part.latest >= bounds.start
            and part.first < bounds.after
            and part.last >= bounds.first
            and bounds.shard in (None, part.shard)
        ):
            found.append(Source(part.rows, part.earliest, part.latest, index, part=part))
    for recent in snapshot.recent:
        earliest, latest = recent.times
        if earliest < bounds.end and latest >= bounds.start:
            found.append(Source(recent.rows, earliest, latest, index, recent=recent))
    return found


def fetch_texts(
    session: Session, tables: Sequence[Source], wanted: Sequence[tuple[int, int]]
) -> list[bytes]:
    """Returns rows as JSON texts, in order; each is named by its table's number and its place."""
    texts: dict[tuple[int, int], bytes] = {}
    for number, group in groupby(sorted(wanted), lambda item: item[0]):
        places = [place for _, place in group]
        for row in json_rows(tables[number].fetch(session, places)):
            place = row.pop("place")
            texts[number, place] = orjson.dumps(row)
    return [texts[item] for item in wanted]
