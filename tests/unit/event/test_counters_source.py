"""The source `counters`: looks at what instances say they served."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.event.decode import decode
from muniment.event.schema import SCHEMA
from muniment.event.served import MAX_COUNTERS, served

COUNTER = {"name": "http-in", "served": 10412, "epoch": "e1", "match": "frontend:http-in"}
LOOK = {
    "instance": "haproxy:lb1",
    "time": "2026-11-21T10:00:05.250Z",
    "counters": [COUNTER, {**COUNTER, "name": "web", "served": 7, "dropped": 2}],
}


def entry(raw: bytes) -> bytes:
    return b'{"at":"2026-11-21T10:00:06Z","node":"n1","via":"capture","as":"counters"}\n' + raw


def one(events, value):
    text = value if isinstance(value, str) else json.dumps(value)
    return events("counters", [text])[0]


def test_a_look_is_a_base_event_in_words(events) -> None:
    row = one(events, LOOK)
    assert row["class_uid"] == 0
    assert row["parse_error"] is None
    assert row["message"] == ("haproxy:lb1 served http-in 10,412, web 7 (dropped 2 log lines)")
    assert row["time_dt"] == datetime.datetime(2026, 11, 21, 10, 0, 5, 250_000, datetime.UTC)
    assert [one["name"] for one in row["resources"]] == ["haproxy:lb1"]
    assert row["metadata"]["product"]["name"] == "haproxy"
    assert json.loads(row["unmapped"])["counters"] == LOOK["counters"]
    assert row["raw_data"] == json.dumps(LOOK)


def test_many_counters_are_said_within_bounds(events) -> None:
    look = {**LOOK, "counters": [{**COUNTER, "name": f"f{n}"} for n in range(5_000)]}
    row = one(events, look)
    assert len(row["message"]) < 1_000
    assert row["message"].endswith("980 more")
    assert len(json.loads(row["unmapped"])["counters"]) == 100


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"instance":"haproxy:lb1"}', '{"instance":7,"counters":[]}', '"x"'],
)
def test_what_is_no_look_says_so(events, text: str) -> None:
    row = one(events, text)
    assert row["parse_error"]
    assert row["message"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"served": -1},
        {"served": "many"},
        {"served": None},
        {"name": ""},
        {"name": 7},
        {"epoch": None},
        {"match": "x" * 5_000},
    ],
)
def test_counters_that_cannot_be_read_are_left_out(wrong: dict[str, object]) -> None:
    look = {**LOOK, "counters": [{**COUNTER, **wrong}, 7, None, COUNTER]}
    assert [one.name for one in served(look)] == ["http-in"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*LOOK, *COUNTER, "x"]), inner, max_size=6)
    ),
    max_leaves=20,
)


@pytest.mark.fuzz
@given(st.lists(json_values.map(json.dumps) | st.text() | st.just(json.dumps(LOOK)), max_size=6))
def test_whatever_an_entry_holds_is_kept(texts: list[str]) -> None:
    raws = [text.encode("utf-8", "backslashreplace") for text in texts]
    table = decode([entry(raw) for raw in raws], log="l", shard="s", first=0)
    assert table.schema == SCHEMA
    assert table["raw_data"].to_pylist() == [raw.decode() for raw in raws]
    for row, text in zip(table.to_pylist(), texts, strict=True):
        if text == json.dumps(LOOK):
            assert row["parse_error"] is None
        else:
            assert len(row["message"] or "") < 40_000


@pytest.mark.fuzz
@given(st.dictionaries(st.sampled_from([*LOOK, "x"]), json_values, max_size=4))
def test_counters_of_anything_are_bounded(look: dict[str, object]) -> None:
    found = list(served(look))
    assert len(found) <= MAX_COUNTERS
    assert all(one.served >= 0 and len(one.match) <= 1_024 for one in found)
