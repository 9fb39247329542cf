"""Legal holds over HTTP: what is looked up, what is refused, what the answer says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from muniment.api import retention
from muniment.api.retention import resolve
from muniment.api.retention_schemas import NewHold
from muniment.errors import InputError, TooLarge
from muniment.store.retention.hold import Hold, What

AT = "2026-01-02T03:04:05.000000Z"


class FoundRows:
    """A query process that finds given indexes of one shard, a few a page."""

    def __init__(self, indexes: list[int], indexed: int = 1_000) -> None:
        self.indexes, self.indexed = indexes, indexed
        self.asked: list[dict[str, Any]] = []

    async def status(self) -> dict[str, Any]:
        return {"logs": {"web": {"shards": {"a": {"indexed": self.indexed}}}}}

    async def search(self, log: str, q: str, **asked: Any) -> dict[str, Any]:
        self.asked.append({"log": log, "q": q, **asked})
        at = int(asked["cursor"] or 0)
        rows = [{"shard": "a", "index": index} for index in self.indexes[at : at + 3]]
        return {"rows": rows, "next": str(at + 3) if at + 3 < len(self.indexes) else None}


def ask(query: FoundRows, wanted: dict[str, Any], since: int = 0, size: int = 1_000) -> Any:
    hold = asked(**wanted)
    return asyncio.run(resolve(query, "web", hold, {"a": since}, {"a": size}))  # type: ignore[arg-type]


def asked(**wanted: Any) -> Hold:
    body = NewHold.model_validate({"name": "case-7", "reason": "a lawsuit", **wanted})
    return retention._asked(body, "alice", AT)


def test_what_a_query_finds_becomes_ranges() -> None:
    query = FoundRows([9, 8, 7, 3, 2, 500, 501])
    found = ask(query, {"query": "status:500", "from": "2026-01-01", "to": "2026-01-02"})
    assert found == ({"a": [(2, 4), (7, 10), (500, 502)]}, {"a": 1_000})
    first = query.asked[0]
    assert (first["q"], first["start"], first["end"]) == (
        "status:500",
        1_767_225_600_000,
        1_767_312_000_000,
    )


def test_what_the_index_does_not_have_yet_is_covered() -> None:
    found = ask(FoundRows([5], indexed=900), {"query": "x"})
    assert found == ({"a": [(5, 6), (900, 1_000)]}, {"a": 900})


def test_an_object_is_looked_up_by_its_name_behind_what_was_seen() -> None:
    query = FoundRows([700, 5], indexed=900)
    found = ask(query, {"object": 'haproxy:a/"b'}, since=600)
    assert found == ({"a": [(700, 701)]}, {"a": 900})
    assert query.asked[0]["q"] == 'object:"haproxy:a/\\"b"'


def test_a_hold_on_the_log_asks_nothing() -> None:
    query = FoundRows([1])
    assert ask(query, {}) == ({}, {})
    assert query.asked == []


def test_a_query_that_finds_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_HELD", 4)
    with pytest.raises(TooLarge):
        ask(FoundRows(list(range(20))), {"query": "x"})


def test_what_a_hold_is_on() -> None:
    assert asked().what is What.LOG
    assert asked(object="o").what is What.OBJECT
    assert asked(query="x").what is What.QUERY
    assert asked(**{"from": "2026-01-01"}).since == "2026-01-01T00:00:00.000Z"
    for wrong in ({"object": "o", "query": "x"}, {"name": "a b"}, {"reason": " "}):
        with pytest.raises(InputError):
            asked(**wrong)
