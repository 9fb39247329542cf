"""What the query process can be asked for, apart from how the questions reach it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from muniment.errors import QueryError
from muniment.index.follower import Follower
from muniment.index.log_index import LogIndex
from muniment.query.engine import Engine
from muniment.query.histogram import histogram
from muniment.query.history import questions
from muniment.query.search import Request, search
from muniment.query.sql import SqlRunner
from muniment.query.tail import tail
from muniment.query.tally import sequences, tally_entries


class Service:
    """Answers questions over the indexes that a follower keeps. Safe for several threads."""

    def __init__(self, follower: Follower, engine: Engine, runner: SqlRunner) -> None:
        self._follower = follower
        self._engine = engine
        self._runner = runner
        self._operations: dict[str, Callable[..., dict[str, Any]]] = {
            "search": self.search,
            "histogram": self.histogram,
            "tail": self.tail,
            "sql": self.sql,
            "status": self.status,
            "tally": self.tally,
            "sequences": self.sequences,
            "objects": partial(self._ask, questions.objects),
            "history": partial(self._ask, questions.history),
            "version": partial(self._ask, questions.version),
            "groups": partial(self._ask, questions.groups),
        }

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Runs an operation by its name. Raises MunimentError."""
        known = self._operations.get(operation)
        if known is None:
            raise QueryError(f"there is no operation {operation!r}")
        return known(**arguments)

    def search(self, log: str, **request: Any) -> dict[str, Any]:
        """Returns a page of rows; see `QueryProcess.search`."""
        index = self._follower.index(log)
        snapshot = index.snapshot
        page = search(index, snapshot, self._engine, Request(**request))
        return {
            "rows": _fragments(page.rows),
            "next": page.next,
            "indexed": dict(snapshot.cursors),
            "partial": page.partial,
        }

    def histogram(
        self, log: str, q: str, start: int | None, end: int | None, buckets: int
    ) -> dict[str, Any]:
        """Returns counts over time; see `QueryProcess.histogram`."""
        index = self._follower.index(log)
        snapshot = index.snapshot
        found = histogram(index, snapshot, self._engine, q, start=start, end=end, buckets=buckets)
        return {
            "start": found.start,
            "width": found.width,
            "counts": found.counts,
            "total": sum(found.counts),
            "indexed": dict(snapshot.cursors),
            "partial": found.partial,
        }

    def tail(self, log: str, q: str, after: Mapping[str, int], limit: int) -> dict[str, Any]:
        """Returns rows after a place, without waiting; see `QueryProcess.tail`."""
        index = self._follower.index(log)
        snapshot = index.snapshot
        shards = self._follower.sizes(log)
        found = tail(index, snapshot, self._engine, q, shards=shards, after=after, limit=limit)
        return {
            "rows": _fragments(found.rows),
            "after": found.after,
            "indexed": dict(snapshot.cursors),
        }

    def sql(self, statement: str, logs: Sequence[str], limit: int) -> dict[str, Any]:
        """Runs a statement over these logs; see `QueryProcess.sql`."""
        indexes: dict[str, LogIndex] = {log: self._follower.index(log) for log in logs}
        answer = self._runner.run(statement, indexes, limit)
        answer["lag"] = sum(
            self._lag(log, index.snapshot.cursors) for log, index in indexes.items()
        )
        return answer

    def tally(self, log: str, q: str, **asked: Any) -> dict[str, Any]:
        """Returns counts between the looks at a counter; see `QueryProcess.tally`."""
        index = self._follower.index(log)
        found = tally_entries(index, index.snapshot, self._engine, q, **asked)
        return {name: getattr(found, name) for name in found.__struct_fields__}

    def sequences(self, log: str, **asked: Any) -> dict[str, Any]:
        """Returns what came of capture streams; see `QueryProcess.sequences`."""
        index = self._follower.index(log)
        return {"parcels": sequences(index, index.snapshot, self._engine, **asked)}

    def status(self) -> dict[str, Any]:
        """Returns the state of the indexes and of this process; see `QueryProcess.status`."""
        return {"logs": self._follower.status(), "resident_bytes": _resident()}

    def _ask(
        self, question: Callable[..., dict[str, Any]], log: str, **asked: Any
    ) -> dict[str, Any]:
        """Answers a question about objects; see `QueryProcess.ask`."""
        index = self._follower.index(log)
        snapshot = index.snapshot
        answer = question(index, snapshot, self._engine, **asked)
        return answer | {"lag": self._lag(log, snapshot.cursors)}

    def _lag(self, log: str, cursors: Mapping[str, int]) -> int:
        sizes = self._follower.sizes(log)
        return sum(max(0, size - cursors.get(shard, 0)) for shard, size in sizes.items())


def _fragments(rows: Sequence[bytes]) -> list[orjson.Fragment]:
    return [orjson.Fragment(row) for row in rows]


def _resident() -> int:
    """Bytes of memory that this process has resident."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()
