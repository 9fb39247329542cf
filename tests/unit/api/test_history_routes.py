"""The routes about objects: what they ask, what they refuse, whom they let in."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_parts import NAME, ScriptedQuery, Serve

from muniment.capture.change import change, record
from muniment.capture.snapshot import Snapshot

ROUTES = ("objects", "history", "version", "diff", "blame", "explain", "traces/x")
JSON = {"content-type": "application/json"}
OBJECT = "haproxy:lb1/server/web/w2"
ABOUT = {"object": OBJECT, "kind": "haproxy.server", "total": 1, "lag": 0}


def version(index: int, number: int = 1) -> dict[str, Any]:
    return {
        "number": number,
        "version": "a" * 64,
        "previous": "",
        "change": "update",
        "time": 1_795_255_200_000,
        "since": "",
        "entry": {"shard": NAME, "index": index},
    }


def url(what: str) -> str:
    return f"/api/v1/logs/default/{what}"


def post(client: httpx.Client, state: dict[str, Any]) -> int:
    event = change(OBJECT, None, Snapshot(state), time="2026-11-21T10:00:00Z")
    assert event is not None
    answer = client.post(url("entries?as=change"), content=record(event), headers=JSON)
    assert answer.status_code == 201
    return int(answer.json()["first"])


@pytest.mark.parametrize("what", ROUTES)
def test_who_may_not_read_sees_nothing(serve: Serve, what: str) -> None:
    with httpx.Client(
        timeout=60, base_url=f"http://127.0.0.1:{serve(required=True).port}"
    ) as stranger:
        assert stranger.get(url(what), params={"object": OBJECT}).status_code == 401


@pytest.mark.parametrize("what", ROUTES)
def test_an_unknown_log_and_an_unknown_parameter(client: httpx.Client, what: str) -> None:
    params = {} if what in ("objects", "traces/x") else {"object": OBJECT}
    elsewhere = client.get(url(what).replace("default", "other"), params=params)
    assert elsewhere.status_code == 404
    assert elsewhere.json()["type"].endswith("unknown-log")
    assert client.get(url(what), params={**params, "odd": "1"}).status_code == 400


@pytest.mark.parametrize(
    ("what", "params"),
    [
        ("history", {}),
        ("history", {"object": ""}),
        ("history", {"object": "x" * 1_025}),
        ("history", {"object": OBJECT, "limit": 501}),
        ("history", {"object": OBJECT, "before": -1}),
        ("version", {"object": OBJECT, "v": "9" * 65}),
        ("blame", {"object": OBJECT, "limit": 51}),
        ("explain", {}),
        ("explain", {"at": "yesterday"}),
        ("explain", {"at": "9999-12-31T23:59:59Z"}),
        ("explain", {"at": "999999999999999"}),
        ("explain", {"at": "0001"}),
        ("explain", {"at": "2026-11-21", "window": 86_401}),
        ("traces/" + "x" * 257, {}),
    ],
)
def test_what_is_out_of_bounds(client: httpx.Client, what: str, params: dict[str, Any]) -> None:
    assert client.get(url(what), params=params).status_code == 400


def test_the_state_comes_from_the_entry(client: httpx.Client, query: ScriptedQuery) -> None:
    first, second = post(client, {"weight": 1}), post(client, {"weight": 2})
    query.answers["version"] = {**ABOUT, "versions": [version(second)]}
    made = client.get(url("version"), params={"object": OBJECT, "v": "2"}).json()
    assert made["state"] == {"weight": 2}
    assert made["time"] == "2026-11-21T10:00:00.000Z"
    assert query.asked[-1] == ("version", {"log": "default", "name": OBJECT, "wanted": ["2"]})
    query.answers["version"] = {**ABOUT, "versions": [version(first), version(second, 2)]}
    diff = client.get(url("diff"), params={"object": OBJECT}).json()
    assert diff["fields"] == [{"path": "/weight", "before": 1, "after": 2}]
    assert query.asked[-1][1]["wanted"] == ["previous", "latest"]


def test_a_time_that_has_not_come_has_no_version(client: httpx.Client) -> None:
    answer = client.get(url("version"), params={"object": OBJECT, "v": "2999-01-01T00:00:00Z"})
    assert answer.status_code == 400
    assert "has not come yet" in answer.json()["detail"]


def test_nothing_known_is_not_found(client: httpx.Client, query: ScriptedQuery) -> None:
    query.answers["history"] = {**ABOUT, "total": 0, "versions": [], "next": None}
    for what in ("history", "blame", "explain"):
        answer = client.get(url(what), params={"object": "no\x1b such"})
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("not-found")


def test_a_page_of_large_events_ends_early(
    client: httpx.Client, query: ScriptedQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muniment.api import history

    monkeypatch.setattr(history, "MAX_ANSWER", 100)
    index = post(client, {"text": "x" * 200})
    versions = [version(index, number) for number in (3, 2, 1)]
    query.answers["history"] = {**ABOUT, "total": 3, "versions": versions, "next": None}
    made = client.get(url("history"), params={"object": OBJECT}).json()
    assert [one["number"] for one in made["versions"]] == [3]
    assert made["next"] == 3
