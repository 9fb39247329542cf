"""Objects and their records, found in an index."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from query_fixture import append, row

from muniment.errors import QueryError
from muniment.query.history import lookup, questions


def changed(index: int, name: str, activity: int = 3, **more: Any) -> dict[str, Any]:
    unmapped = orjson.dumps({"previous": "0" * 64, "since": "2026-03-01T09:59:59Z"}).decode()
    entity = {"uid": name, "type": "haproxy.server", "version": f"{index:064x}"}
    known = {"class_uid": 3004, "source": "change", "activity_id": activity, "entity": entity}
    return row(index, **known, unmapped=unmapped, sender="lb1") | more


def history(index: Any, engine: Any, name: str, **more: Any) -> Any:
    return questions.history(
        index, index.snapshot, engine, name, **{"limit": 9, "before": None} | more
    )


def objects(index: Any, engine: Any, prefix: str = "", after: str = "", limit: int = 9) -> Any:
    return questions.objects(index, index.snapshot, engine, prefix, after, limit)


def test_versions_are_found_in_parts_and_recent_rows(index, engine) -> None:
    append(index, [row(0), changed(1, "a:b/c/d"), changed(2, "a:b/c/e")])
    index.flush()
    append(index, [changed(3, "a:b/c/d", 4), row(4)])
    found = history(index, engine, "a:b/c/d")
    assert [(v["number"], v["change"], v["entry"]["index"]) for v in found["versions"]] == [
        (2, "delete", 3),
        (1, "update", 1),
    ]
    assert (found["kind"], found["total"], found["next"]) == ("haproxy.server", 2, None)
    assert history(index, engine, "a:b/c/*")["total"] == 0


def test_pages_of_versions(index, engine) -> None:
    append(index, [changed(n, "a:b/c/d") for n in range(7)])
    first = history(index, engine, "a:b/c/d", limit=3)
    then = history(index, engine, "a:b/c/d", limit=9, before=first["next"])
    assert [v["number"] for v in first["versions"] + then["versions"]] == [7, 6, 5, 4, 3, 2, 1]
    assert then["next"] is None


def test_only_change_events_count(index, engine) -> None:
    forged = [changed(0, "a:b/c/d", source="json"), changed(1, "a:b/c/d", class_uid=6003)]
    append(index, forged)
    assert objects(index, engine)["objects"] == []


def test_objects_are_listed_by_name_in_pages(index, engine) -> None:
    names = [f"a:b/c/{n:02d}" for n in range(12)] + ["z:b/c/ü", "z:b/c/%_"]
    append(index, [changed(n, name) for n, name in enumerate(names)])
    index.flush()
    append(index, [changed(n + 14, name) for n, name in enumerate(names[:3])])
    seen, after = [], ""
    while True:
        page = objects(index, engine, after=after, limit=5)
        seen += [(one["object"], one["number"]) for one in page["objects"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == [(name, 2 if name in names[:3] else 1) for name in sorted(names)]
    assert [o["object"] for o in objects(index, engine, "z:b/c/%")["objects"]] == ["z:b/c/%_"]


def test_of_too_many_records_the_newest_count(index, engine, monkeypatch) -> None:
    monkeypatch.setattr(lookup, "MAX_RECORDS", 4)
    append(index, [changed(n, "a:b/c/d") for n in range(10)])
    append(index, [changed(n, "a:b/c/e") for n in range(10, 12)])
    assert [v["number"] for v in history(index, engine, "a:b/c/d")["versions"]] == [10, 9, 8, 7]
    page = objects(index, engine)
    assert [(o["object"], o["number"]) for o in page["objects"]] == [("a:b/c/d", 10)]
    assert page["next"] == "a:b/c/d"
    assert objects(index, engine, after=page["next"])["objects"][0]["object"] == "a:b/c/e"


def test_entries_are_counted_by_columns(index, engine) -> None:
    def through(number: int, server: str, code: int) -> dict[str, Any]:
        balancer = {"dst_endpoint": {"name": server}}
        return row(number, load_balancer=balancer, http_response={"code": code})

    append(index, [through(0, "w1", 200), through(1, "w2", 503)])
    index.flush()
    append(index, [through(2, "w2", 503), row(3, http_response={"code": 504})])
    by = ["load_balancer.dst_endpoint.name", "http_response.code"]
    asked: dict[str, Any] = {"by": by, "start": 0, "end": 1 << 60, "limit": 5}
    found = questions.groups(index, index.snapshot, engine, q="status:>=500", **asked)
    assert found["groups"] == [
        {"values": ["w2", 503], "count": 2},
        {"values": [None, 504], "count": 1},
    ]
    with pytest.raises(QueryError):
        questions.groups(index, index.snapshot, engine, q="", **asked | {"by": ['a"; DROP']})
