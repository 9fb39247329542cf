"""Search, histogram and SQL: what the query process is asked, and what comes back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_parts import ScriptedQuery

from muniment.errors import Overloaded, QueryError, Unavailable

SEARCH = "/api/v1/logs/default/search"
HISTOGRAM = "/api/v1/logs/default/histogram"
SQL = "/api/v1/sql"


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["type"] == f"urn:muniment:problem:{slug}"
    return told


def test_a_search_without_anything_asks_for_the_newest(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    answer = client.get(SEARCH)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "rows": [], "next": None, "indexed": {}, "lag": 0, "partial": False,
    }  # fmt: skip
    assert query.asked == [
        (
            "search",
            {
                "log": "default",
                "q": "",
                "start": None,
                "end": None,
                "limit": 100,
                "cursor": None,
                "order": "newest",
            },
        )
    ]


def test_every_parameter_is_passed_on(client: httpx.Client, query: ScriptedQuery) -> None:
    client.get(
        SEARCH,
        params={
            "q": 'status:>=500 "timed out"',
            "from": "2026-01-01T00:00:00Z",
            "to": "1767225601000",
            "limit": "7",
            "cursor": "abc",
            "order": "oldest",
        },
    ).raise_for_status()
    assert query.asked[0][1] == {
        "log": "default",
        "q": 'status:>=500 "timed out"',
        "start": 1_767_225_600_000,
        "end": 1_767_225_601_000,
        "limit": 7,
        "cursor": "abc",
        "order": "oldest",
    }


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "x"},
        {"order": "random"},
        {"q": "x" * 4_097},
        {"cursor": "x" * 16_385},
        {"from": "x" * 65},
    ],
    ids=lambda params: next(f"{name}={value[:8]}" for name, value in params.items()),
)
def test_a_parameter_out_of_its_bounds_is_named(
    client: httpx.Client, query: ScriptedQuery, params: dict[str, str]
) -> None:
    told = problem(client.get(SEARCH, params=params), 400, "bad-input")
    assert next(iter(params)) in told["detail"]
    assert query.asked == []


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-01-01T25:00Z", "9" * 20])
def test_a_time_that_is_none_is_named(client: httpx.Client, name: str, text: str) -> None:
    for path in (SEARCH, HISTOGRAM):
        told = problem(client.get(path, params={name: text}), 400, "bad-query")
        assert told["detail"].startswith(f"{name}: ")


def test_what_the_query_process_refuses_is_a_problem(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    query.error = QueryError("column 3: expected a term")
    assert problem(client.get(SEARCH), 400, "bad-query")["detail"] == "column 3: expected a term"
    query.error = Overloaded("too many queries at once")
    assert client.get(SEARCH).headers["retry-after"] == "1"
    query.error = Unavailable("the query process is starting")
    for answer in (
        client.get(SEARCH),
        client.get(HISTOGRAM),
        client.post(SQL, json={"query": "x"}),
    ):
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"


def test_a_log_that_is_not_there(client: httpx.Client, query: ScriptedQuery) -> None:
    for path in ("search", "histogram", "tail"):
        problem(client.get(f"/api/v1/logs/other/{path}"), 404, "unknown-log")
    problem(client.post(SQL, json={"query": "SELECT 1", "log": "other"}), 404, "unknown-log")
    assert query.asked == []


def test_a_histogram_gives_each_bucket_its_start(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    found = client.get(HISTOGRAM, params={"q": "a", "buckets": "3"}).json()
    assert found["buckets"] == [
        {"start": 1_000, "count": 1},
        {"start": 1_500, "count": 0},
        {"start": 2_000, "count": 2},
    ]
    assert (found["step"], found["total"], found["partial"]) == (500, 3, False)
    assert query.asked[0][1]["buckets"] == 3


def test_sql_goes_over_all_logs_or_the_one_that_is_named(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    assert client.post(SQL, json={"query": "SELECT 1"}).json()["rows"] == []
    client.post(SQL, json={"query": "SELECT 2", "log": "default", "limit": 5})
    assert [asked for _, asked in query.asked] == [
        {"statement": "SELECT 1", "log": ["default"], "limit": 1_000},
        {"statement": "SELECT 2", "log": ["default"], "limit": 5},
    ]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "bad-input"),
        (b"{", 400, "bad-input"),
        (b"[]", 400, "bad-input"),
        (b"{}", 400, "bad-input"),
        (b'{"query":1}', 400, "bad-input"),
        (b'{"query":"\xff"}', 400, "bad-input"),
        (b'{"query":"x","other":1}', 400, "bad-input"),
        (b'{"query":"x","limit":0}', 400, "bad-query"),
        (b'{"query":"x","limit":10001}', 400, "bad-query"),
        (b"[" * 100_000, 400, "bad-input"),
        (b'{"query":"' + b"x" * 300_000 + b'"}', 413, "too-large"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_request_that_is_no_question(
    client: httpx.Client, query: ScriptedQuery, body: bytes, status: int, slug: str
) -> None:
    problem(
        client.post(SQL, content=body, headers={"content-type": "application/json"}), status, slug
    )
    assert query.asked == []


def test_sql_comes_as_json_so_that_a_form_of_another_site_cannot_ask(client: httpx.Client) -> None:
    answer = client.post(SQL, content=b'{"query":"x"}', headers={"content-type": "text/plain"})
    problem(answer, 415, "unsupported-media")


@pytest.mark.parametrize("path", [SEARCH, HISTOGRAM, "/api/v1/logs/default/tail"])
def test_a_misspelt_parameter_is_refused_and_not_passed_over(
    client: httpx.Client, query: ScriptedQuery, path: str
) -> None:
    told = problem(client.get(path, params={"form": "2026"}), 400, "bad-input")
    assert "'form'" in told["detail"]
    assert "from" in told["advice"] or "after" in told["advice"]
    assert query.asked == []
