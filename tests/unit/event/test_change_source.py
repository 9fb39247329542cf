"""Change events of the agent as Entity Management."""

from __future__ import annotations

import datetime
import json

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.change import change, record
from muniment.capture.snapshot import Snapshot
from muniment.event.guard import run
from muniment.event.source import Context

NAME = "haproxy:lb1/server/web/w2"
TIME, SINCE = "2026-11-21T10:00:05.000Z", "2026-11-21T10:00:00.000Z"
WHERE = {"frontend": "https", "backend": "web", "server": "w2"}
BY = {"user": "alice", "tool": "kubectl", "request": "r-17", "time": SINCE}
OLD = Snapshot({"weight": 100, "address": "10.0.0.2:80", "on": True})
NEW = Snapshot(
    {"weight": 50, "address": "10.0.0.2:80", "port": 8080},
    names=["/etc/x"],
    by=BY,
    where={**WHERE, "zone": "a"},
    redacted=["/token"],
)


def one(events, before, after, since=SINCE, **more):
    event = change(NAME, before, after, time=TIME, since=since)
    return events("change", [record({**event, **more})])[0]


def test_an_update(events) -> None:
    row = one(events, OLD, NEW)
    assert (row["class_uid"], row["activity_id"], row["parse_error"]) == (3004, 3, None)
    assert row["time_dt"] == datetime.datetime(2026, 11, 21, 10, 0, 5, tzinfo=datetime.UTC)
    assert row["entity"] == {
        "uid": NAME,
        "name": "web/w2",
        "type": "haproxy.server",
        "version": NEW.version,
    }
    assert row["message"] == (
        "haproxy server web/w2: on removed: true, port added: 8080, weight 100 -> 50"
    )
    assert row["metadata"]["product"]["name"] == "haproxy"
    assert row["actor"]["user"]["name"] == "alice"
    assert row["actor"]["app_name"] == "kubectl"
    assert row["http_request"]["uid"] == "r-17"
    balancer = row["load_balancer"]
    assert balancer["name"] == "https"
    assert (balancer["dst_endpoint"]["svc_name"], balancer["dst_endpoint"]["name"]) == ("web", "w2")
    assert json.loads(row["unmapped"]) == {
        "since": SINCE,
        "previous": OLD.version,
        "redacted": ["/token"],
        "names": ["/etc/x"],
        "by": {"time": SINCE},
        "where": {"zone": "a"},
        "fields": [
            {"path": "/on", "before": True},
            {"path": "/port", "after": 8080},
            {"path": "/weight", "before": 100, "after": 50},
        ],
    }


@pytest.mark.parametrize(
    ("before", "after", "since", "activity", "words"),
    [
        (None, OLD, "", 2, "first seen"),
        (None, OLD, SINCE, 1, "created"),
        (OLD, None, SINCE, 4, "deleted"),
    ],
)
def test_what_happened(events, before, after, since, activity, words) -> None:
    row = one(events, before, after, since)
    assert row["activity_id"] == activity
    assert row["message"] == f"haproxy server web/w2: {words}"


def test_the_text_of_a_file_is_not_repeated(events) -> None:
    row = one(events, Snapshot({"text": "a\n"}), Snapshot({"text": "b\n"}))
    assert row["message"] == "haproxy server web/w2: text changed"


def test_many_fields_are_told_in_bounds(events) -> None:
    fields = [{"path": f"/f{n}", "before": "x" * 200, "after": "y"} for n in range(500)]
    row = one(events, OLD, NEW, fields=fields)
    rest = json.loads(row["unmapped"])
    assert len(row["unmapped"]) < 20_000
    assert len(rest["fields"]) + rest["fields_left_out"] == 500
    assert row["message"].endswith("…  -> y, and 497 more") or "and 497 more" in row["message"]
    assert len(row["message"]) < 1_000


def test_the_first_part_is_read_as_far_as_it_is_whole(events) -> None:
    event = change(NAME, OLD, Snapshot({"text": "x" * 1000}), time=TIME, since=SINCE)
    (row,) = events("change", [record(event)[:-500]])
    assert row["entity"]["uid"] == NAME
    assert row["activity_id"] == 3
    assert json.loads(row["unmapped"])["previous"] == OLD.version
    assert row["parse_error"].startswith("not valid JSON")


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"object": NAME},
        {"object": 7, "change": "update"},
        {"object": "haproxy", "change": "update"},
        {"object": "haproxy:lb1/server", "change": "update"},
        {"object": "haproxy/lb1:x/server", "change": "update"},
        {"object": "haproxy:lb1/server/" + "w" * 2_000, "change": "update"},
        {"object": NAME, "change": "explode"},
    ],
)
def test_what_names_no_object_is_no_change(events, event) -> None:
    (row,) = events("change", [json.dumps(event)])
    assert row["class_uid"] == 0
    assert row["parse_error"].startswith("no change event")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    ["object", "change", "time", "since", "version", "previous", "fields", "by", "where", "names"]
)


@pytest.mark.fuzz
@given(
    st.lists(
        st.text(max_size=60)
        | st.dictionaries(MEMBERS | st.text(max_size=6), VALUES).map(
            lambda odd: orjson.dumps({"object": NAME, "change": "update"} | odd).decode()
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_line_is_a_row_that_is_read_or_says_why_not(lines) -> None:
    received = pl.Series([None] * len(lines), dtype=pl.Datetime("us", "UTC"))
    made = run("change", pl.Series(lines, dtype=pl.String), Context(received))
    assert made.height == len(lines)
    classes = made["class_uid"] if "class_uid" in made.columns else [None] * made.height
    errors = made["parse_error"]
    assert all(c == 3004 or error is not None for c, error in zip(classes, errors, strict=True))
    assert not any("parser failed" in error for error in errors.drop_nulls())
