"""The live tail: events in order, places to come back to, pings, and an end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api_parts import NAME, ScriptedQuery, Serve, Served, eventually
from hypothesis import given
from hypothesis import strategies as st

from muniment.api.tail import read_places, write_places
from muniment.errors import InputError, QueryError, Unavailable

TAIL = "/api/v1/logs/default/tail"


def row(index: int, shard: str = NAME) -> dict[str, Any]:
    return {"shard": shard, "index": index, "message": f"line {index}\nä"}


def page(*rows: dict[str, Any], **after: int) -> dict[str, Any]:
    return {"rows": list(rows), "after": {NAME: -1} | after}


def events(lines: Iterator[str], count: int) -> list[dict[str, str]]:
    """The next events, as maps of their fields."""
    found: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    for line in lines:
        if not line and "data" in fields:
            found.append(fields)
            fields = {}
            if len(found) == count:
                return found
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
    raise AssertionError(f"the stream ended after {len(found)} events")


def test_rows_are_events_with_their_place_as_id(client: httpx.Client, query: ScriptedQuery) -> None:
    query.pages = [page(**{NAME: 6}), page(row(7), row(9), **{NAME: 12})]
    with client.stream("GET", TAIL, params={"q": "path:/x"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        found = events(answer.iter_lines(), 2)
    assert [event["event"] for event in found] == ["entry", "entry"]
    assert [event["id"] for event in found] == [f"{NAME}:7", f"{NAME}:9"]
    assert [json.loads(event["data"]) for event in found] == [row(7), row(9)]
    asked = [(asked["q"], asked["after"]) for _, asked in query.asked]
    assert asked[:2] == [("path:/x", {}), ("path:/x", {NAME: 6})]
    eventually(lambda: len(query.asked) == 3)
    assert query.asked[2][1]["after"] == {NAME: 12}


def test_who_comes_back_goes_on_behind_the_last_event(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    query.pages = [page(row(5), **{NAME: 5})]
    with client.stream("GET", TAIL, headers={"last-event-id": f"{NAME}:4"}) as answer:
        assert events(answer.iter_lines(), 1)[0]["id"] == f"{NAME}:5"
    assert query.asked[0][1]["after"] == {NAME: 4}


def test_a_place_can_also_be_a_parameter(client: httpx.Client, query: ScriptedQuery) -> None:
    with client.stream("GET", TAIL, params={"after": f"{NAME}:3,other:9"}) as answer:
        assert answer.is_success
    assert query.asked[0][1]["after"] == {NAME: 3, "other": 9}


def test_with_several_shards_an_id_names_the_place_in_each(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    rows = [row(4, "aa"), row(7, "bb"), row(5, "aa")]
    query.pages = [{"rows": rows, "after": {"aa": 9, "bb": 9, "cc": 2}}]
    with client.stream("GET", TAIL) as answer:
        ids = [event["id"] for event in events(answer.iter_lines(), 3)]
    assert [read_places(id_) for id_ in ids] == [
        {"aa": 4, "bb": 6, "cc": 2},
        {"bb": 7, "aa": 4, "cc": 2},
        {"aa": 5, "bb": 7, "cc": 2},
    ]
    assert [id_.partition(",")[0] for id_ in ids] == ["aa:4", "bb:7", "aa:5"]


def test_a_wrong_query_is_a_problem_and_no_stream(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    query.error = QueryError("column 1: expected a term")
    answer = client.get(TAIL, params={"q": "("})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("place", ["x", "a:b", "a:-2", "a:1,", "A:1", "a:01", "a:" + "9" * 19])
def test_a_place_that_is_none(client: httpx.Client, query: ScriptedQuery, place: str) -> None:
    assert client.get(TAIL, headers={"last-event-id": place}).status_code == 400
    assert query.asked == []


def test_the_tail_outlives_the_query_process(client: httpx.Client, query: ScriptedQuery) -> None:
    query.pages = [page(row(1), **{NAME: 1})]
    with client.stream("GET", TAIL) as answer:
        lines = answer.iter_lines()
        events(lines, 1)
        query.error = Unavailable("the query process has ended", retry_after=1)
        query.grown.set()
        assert next(line for line in lines if line == ": ping")
        query.pages = [page(row(2), **{NAME: 2})]
        query.error = None
        assert events(lines, 1)[0]["id"] == f"{NAME}:2"


def test_the_number_of_tails_is_bounded(serve: Serve) -> None:
    served = serve(tails=1)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        with client.stream("GET", TAIL) as first:
            lines = first.iter_lines()
            assert next(lines)
            second = client.get(TAIL)
            assert second.status_code == 429
            assert second.headers["retry-after"]
        eventually(lambda: served.context.meters.tails == 0)
        with client.stream("GET", TAIL) as third:
            assert third.is_success


def test_a_node_that_stops_ends_its_tails(served: Served, query: ScriptedQuery) -> None:
    with (
        httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client,
        client.stream("GET", TAIL) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        served.stop()
        assert all(not line or line.startswith(":") for line in lines)


places = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), st.integers(-1, 10**17), min_size=1
)


@given(places)
def test_places_are_read_as_they_are_written(written: dict[str, int]) -> None:
    for first in written:
        text = write_places(written, first)
        assert read_places(text) == written
        assert text.startswith(f"{first}:{written[first]}")


@pytest.mark.fuzz
@given(st.text())
def test_any_text_is_a_place_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        read_places(text)
