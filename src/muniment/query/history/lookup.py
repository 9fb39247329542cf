"""Change events found in the index: the objects that there are, and the records of some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from muniment.errors import Overloaded, QueryError
from muniment.index.log_index import LogIndex
from muniment.index.snapshot import Snapshot
from muniment.query.bounds import Bounds
from muniment.query.engine import Engine, OutOfTime, Session
from muniment.query.history.version import Record
from muniment.query.source import Source, sources

SOURCE = "change"
MAX_RECORDS = 50_000
"""Records that are looked at for one answer. Of an object with more, the newest count."""

MAX_OBJECTS = 1_000
MAX_NAME = 1_024
_ENTITY_MANAGEMENT = 3_004
_CHANGES = {1: "create", 2: "observe", 3: "update", 4: "delete"}
_NEEDED = ("source", "entity.uid", "activity_id")
_NO_TIME = "the question ran out of time; ask again, or for less time"


@dataclass(frozen=True, slots=True)
class Found:
    """The records of an object in order, newest last; `before` older ones were not looked at."""

    kind: str
    records: list[Record]
    before: int


def find_records(index: LogIndex, snapshot: Snapshot, engine: Engine, name: str) -> Found | None:
    """Returns the records of one object; None where there are none.

    Raises IndexDamaged, Overloaded.
    """
    with session(engine) as opened:
        lookup = _Lookup(opened, index, snapshot)
        counts = lookup.names("= ?", [name], 1)
        return lookup.records(counts).get(name) if counts else None


def find_objects(
    index: LogIndex, snapshot: Snapshot, engine: Engine, prefix: str, after: str, limit: int
) -> tuple[Mapping[str, Found], bool]:
    """Returns objects by name, in order, with their records, and whether there are more.

    Their names begin with `prefix` and come after `after`. There may be less than `limit` on a
    page: as many as have MAX_RECORDS records together. Raises QueryError, IndexDamaged, Overloaded.
    """
    if not 1 <= limit <= MAX_OBJECTS:
        raise QueryError(f"limit must be from 1 to {MAX_OBJECTS}")
    with session(engine) as opened:
        lookup = _Lookup(opened, index, snapshot)
        test = "> ? AND starts_with(e.entity.uid, ?)"
        counts = lookup.names(test, [after, prefix], limit + 1)
        page: dict[str, int] = {}
        for name in sorted(counts)[:limit]:
            if page and sum(page.values()) + counts[name] > MAX_RECORDS:
                break
            page[name] = counts[name]
        found = lookup.records(page)
        return {name: found[name] for name in page if name in found}, len(page) < len(counts)


@contextmanager
def session(engine: Engine, seconds: float = 10.0) -> Iterator[Session]:
    """A session in which running out of time is an answer: Overloaded."""
    try:
        with engine.session(seconds) as found:
            yield found
    except OutOfTime as error:
        raise Overloaded(_NO_TIME) from error


class _Lookup:
    def __init__(self, session: Session, index: LogIndex, snapshot: Snapshot) -> None:
        self._session = session
        tables = sources(index, snapshot, Bounds())
        # A table without such a column holds no change event, and is not even opened.
        self._tables = [t for t in tables if t.columns().issuperset(_NEEDED)]

    def names(self, test: str, values: Sequence[str], limit: int) -> Counter[str]:
        """The first names for which the test holds, with the number of records of each."""
        counts: Counter[str] = Counter()
        for table in self._tables:
            found = self._select(
                table,
                "SELECT e.entity.uid AS uid, count(*) AS n",
                f"e.entity.uid {test}",
                values,
                "GROUP BY uid ORDER BY uid LIMIT ?",
                [limit],
            )
            for uid, n in zip(found["uid"].to_pylist(), found["n"].to_pylist(), strict=True):
                counts[uid] += n
        return Counter({name: counts[name] for name in sorted(counts)[:limit]})

    def records(self, counts: Mapping[str, int]) -> dict[str, Found]:
        """The newest records of the objects named, MAX_RECORDS of all together."""
        rows = sorted(self._rows(counts), key=lambda row: (row[2].time, row[2].shard, row[2].index))
        found: dict[str, Found] = {}
        for name, kind, record in rows[-MAX_RECORDS:]:
            if name not in found:
                found[name] = Found(kind, [], 0)
            found[name].records.append(record)
        return {
            name: Found(one.kind, one.records, max(0, counts[name] - len(one.records)))
            for name, one in found.items()
        }

    def _rows(self, counts: Mapping[str, int]) -> Iterator[tuple[str, str, Record]]:
        if not counts:
            return
        names = sorted(counts)
        for table in self._tables:
            found = self._select(
                table,
                "SELECT e.entity.uid AS uid, " + ", ".join(_columns(table)),
                "e.entity.uid BETWEEN ? AND ?",
                [names[0], names[-1]],
                'ORDER BY e."time" DESC, e.shard DESC, e."index" DESC LIMIT ?',
                [MAX_RECORDS],
            )
            for batch in found.to_batches(4_096):
                for row in batch.to_pylist():
                    if row["uid"] in counts:
                        yield row["uid"], row["kind"] or "", _record(row)

    def _select(
        self,
        table: Source,
        what: str,
        test: str,
        values: Sequence[Any],
        end: str,
        last: Sequence[Any],
    ) -> pa.Table:
        name, own = table.table(self._session)
        return self._session.fetch(  # the names are ours, all values are parameters
            f"{what} FROM {name} e WHERE e.class_uid = ? AND e.source = ? AND {test} {end}",
            [*own, _ENTITY_MANAGEMENT, SOURCE, *values, *last],
        )


def _columns(table: Source) -> list[str]:
    have = table.columns()

    def text(path: str, name: str) -> str:
        return f"e.{path} AS {name}" if path in have else f"NULL::VARCHAR AS {name}"

    return [
        'e."time" AS time',
        "e.shard AS shard",
        'e."index" AS entry',
        "e.activity_id AS activity",
        text("entity.type", "kind"),
        text("entity.version", "version"),
        text("sender", "sender"),
        text("peer", "peer"),
        text("stream", "stream"),
        _left_over("previous", have),
        _left_over("since", have),
    ]


def _left_over(member: str, have: frozenset[str]) -> str:
    if "unmapped" not in have:
        return f"NULL::VARCHAR AS {member}"
    return (
        f"CASE WHEN json_valid(e.unmapped) THEN json_extract_string(e.unmapped, '$.{member}') END "
        f"AS {member}"
    )


def _agent(row: Mapping[str, Any]) -> str:
    """Who saw it: whoever was authenticated (else the host that sent it), and which agent."""
    peer = row["peer"] or ""
    sender = row["sender"] or peer.rpartition(":")[0] or peer
    return f"{sender} {(row['stream'] or '').partition('/')[0]}"


def _record(row: Mapping[str, Any]) -> Record:
    return Record(
        row["time"],
        row["shard"],
        row["entry"],
        _CHANGES.get(row["activity"], "update"),
        row["version"] or "",
        row["previous"] or "",
        row["since"] or "",
        _agent(row),
    )
