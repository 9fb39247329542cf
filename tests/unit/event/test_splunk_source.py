"""Events of Splunk's HTTP event collector."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_envelopes import NGINX, assert_read, json_values, read

ENVELOPE = {
    "time": 1795215978.734,
    "host": "lb-1",
    "source": "/var/log/nginx/access.log",
    "sourcetype": "nginx:plus:access",
    "index": "edge",
    "fields": {"zone": "a", "trace_id": "t-1", "severity": "warn"},
}
LEFT = {name: ENVELOPE[name] for name in ("sourcetype", "index", "fields")}
AT = datetime.datetime(2026, 11, 20, 23, 6, 18, 734000, datetime.UTC)


def row_of(event: object, **more: object) -> dict:
    (row,) = read("splunk", [json.dumps({**ENVELOPE, "event": event, **more})])
    return row


def test_a_line_goes_to_the_parser_that_its_sourcetype_names() -> None:
    row = row_of(NGINX)
    assert (row["class_uid"], row["http_response"]["code"]) == (4002, 404)
    assert row["device"]["hostname"] == "lb-1"
    assert row["metadata"]["correlation_uid"] == "t-1"
    assert row["time_dt"] == AT.replace(microsecond=0), "the line knows better"
    assert json.loads(row["unmapped"]) == LEFT
    broken = row_of("no access line")
    assert broken["parse_error"], "the sourcetype promises one"


def test_a_line_of_no_known_kind_is_a_message() -> None:
    row = row_of("hello", sourcetype="app")
    assert (row["message"], row["time_dt"], row["severity_id"]) == ("hello", AT, 3)
    assert row["metadata"]["log_name"] == ENVELOPE["source"]
    assert row["parse_error"] is None


def test_objects_are_read_as_json() -> None:
    row = row_of({"action": "server.disable", "actor": "bob"})
    assert (row["class_uid"], row["actor"]["user"]["name"]) == (6003, "bob")
    assert row["time_dt"] == AT
    assert json.loads(row["unmapped"]) == LEFT
    row = row_of({"msg": "m", "a": 1}, sourcetype="_json")
    assert row["message"] == "m"
    assert json.loads(row["unmapped"]) == {"a": 1, **LEFT, "sourcetype": "_json"}


def test_lines_of_containers_are_found_in_what_docker_sends() -> None:
    container = {"line": NGINX, "source": "stdout", "tag": "nginx-7"}
    (row,) = read("splunk", [json.dumps({"event": container, "host": "h", "time": "1795215978.5"})])
    assert row["class_uid"] == 4002
    assert json.loads(row["unmapped"]) == {"event": {"source": "stdout", "tag": "nginx-7"}}
    parsed = {"line": {"action": "x"}, "source": "stderr"}
    assert row_of(parsed)["class_uid"] == 6003


@pytest.mark.parametrize("event", [[1], 5, True])
def test_events_that_are_no_line_are_kept(event: object) -> None:
    row = row_of(event)
    assert row["parse_error"] is None
    assert json.loads(row["unmapped"])["event"] == event


def test_what_the_request_said_counts_where_the_event_is_silent() -> None:
    about = {"host": "default", "sourcetype": "app", "time": "1795215978", "channel": "c"}
    first, second = read("splunk", ['{"event":"x"}', '{"event":"y","host":"own"}'], [about, about])
    assert (first["device"]["hostname"], second["device"]["hostname"]) == ("default", "own")
    assert first["time_dt"] == AT.replace(microsecond=0)
    assert json.loads(first["unmapped"]) == {"sourcetype": "app", "channel": "c"}


@pytest.mark.parametrize(
    ("line", "says"),
    [("{}", "no event"), ('{"event":null}', "no event"), ("5", "object"), ("", "JSON")],
)
def test_what_is_no_event_says_so(line: str, says: str) -> None:
    (row,) = read("splunk", [line])
    assert says in row["parse_error"]
    assert row.get("class_uid") is None


def test_what_surrounds_an_event_is_read_whatever_it_holds() -> None:
    line = json.dumps(ENVELOPE)[:-1] + r',"event":"\ud800"}'
    (row,) = read("splunk", [line])
    assert "JSON" in row["parse_error"]
    assert row["device"]["hostname"] == "lb-1"


def test_the_frame_work_knows_the_source(events) -> None:
    rows = events("splunk", [json.dumps({**ENVELOPE, "event": NGINX}), '{"event":"x"}'])
    assert [row["class_uid"] for row in rows] == [4002, 0]


@pytest.mark.fuzz
@given(
    st.lists(
        st.dictionaries(st.sampled_from([*ENVELOPE, "event"]), json_values), min_size=1, max_size=4
    )
)
def test_any_values_are_read(many: list[dict]) -> None:
    assert_read("splunk", [json.dumps({"event": "x", **each}) for each in many])


@pytest.mark.fuzz
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_text_is_read(texts: list[str]) -> None:
    assert_read("splunk", [*texts, *(json.dumps({"event": text}) for text in texts)])
