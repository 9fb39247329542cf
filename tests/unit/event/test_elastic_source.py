"""Items of Elasticsearch's bulk API: actions and documents."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_envelopes import NGINX, assert_read, json_values, read

INDEX = {"index": {"_index": "logs-edge", "_id": "7"}}
BEAT = {
    "@timestamp": "2026-11-20T23:06:19.500Z",
    "message": NGINX,
    "host": {"name": "lb-1", "os": {"type": "linux"}},
    "event": {"module": "nginx", "dataset": "nginx.access"},
    "trace": {"id": "t-1"},
    "log": {"file": {"path": "/var/log/nginx/access.log"}},
}


def item(document: object, action: object = INDEX) -> str:
    return f"{json.dumps(action)}\n{json.dumps(document)}"


def row_of(document: object, action: object = INDEX) -> dict:
    (row,) = read("elastic", [item(document, action)])
    return row


def test_the_line_of_a_beat_goes_to_the_parser_of_its_module() -> None:
    row = row_of(BEAT)
    assert (row["class_uid"], row["http_response"]["code"]) == (4002, 404)
    assert row["device"]["hostname"] == "lb-1"
    assert (row["metadata"]["uid"], row["metadata"]["correlation_uid"]) == ("logs-edge/7", "t-1")
    assert row["metadata"]["event_code"] == "index"
    assert json.loads(row["unmapped"]) == {
        "action": INDEX,
        "document": {"host": {"os": {"type": "linux"}}, "event": BEAT["event"], "log": BEAT["log"]},
    }


def test_the_original_goes_before_the_message() -> None:
    row = row_of({"message": "GET /a", "event.original": NGINX})
    assert row["http_response"]["code"] == 404
    assert json.loads(row["unmapped"])["document"] == {"message": "GET /a"}
    row = row_of({"message": "GET /a", "event": {"original": NGINX, "kind": "event"}})
    assert row["http_response"]["code"] == 404


def test_a_message_of_no_known_kind_has_what_the_document_says() -> None:
    document = {**BEAT, "message": "hello", "event": {}, "log": {"level": "error"}}
    row = row_of(document, {"create": {}})
    assert (row["message"], row["severity_id"]) == ("hello", 4)
    assert row["time_dt"] == datetime.datetime(2026, 11, 20, 23, 6, 19, 500000, datetime.UTC)
    assert "uid" not in row["metadata"]


def test_documents_without_a_line_are_read_as_json() -> None:
    row = row_of({"action": "user.create", "actor": "bob", "message": "made", "host": "h"})
    assert (row["class_uid"], row["message"]) == (3004, "made")
    assert row["device"]["hostname"] == "h"
    row = row_of({"class_uid": 3002, "message": "in"})
    assert row["class_uid"] == 3002
    row = row_of({"msg": "m", "foo": 1})
    assert row["message"] == "m"
    assert json.loads(row["unmapped"]) == {"foo": 1, **INDEX}


def test_updates_hold_a_part_of_a_document() -> None:
    row = row_of({"doc": {"message": NGINX}}, {"update": {"_index": "i", "_id": 3}})
    assert row["http_response"]["code"] == 404
    assert (row["metadata"]["uid"], row["metadata"]["event_code"]) == ("i/3", "update")
    assert row_of({"script": "x"}, {"update": {"_id": "3"}})["parse_error"] is None


def test_deletes_are_events_of_their_own() -> None:
    (row,) = read("elastic", ['{"delete":{"_index":"i","_id":"3"}}'])
    assert row["message"] == "delete i/3"
    assert (row["metadata"]["uid"], row["parse_error"]) == ("i/3", None)


def test_what_the_path_said_counts_where_the_action_is_silent() -> None:
    about = {"index": "logs", "pipeline": "p"}
    rows = read("elastic", [item({"message": "x"}, {"index": {}}), item({"log": "y"})], [about] * 2)
    assert [row["metadata"]["log_name"] for row in rows] == ["logs", "logs-edge"]


def test_a_document_that_was_posted_alone() -> None:
    about = {"action": "create", "index": "logs", "id": "9"}
    (row,) = read("elastic", [json.dumps(BEAT, indent=1)], [about])
    assert (row["class_uid"], row["metadata"]["uid"]) == (4002, "logs/9")
    assert row["metadata"]["event_code"] == "create"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}", "no action"),
        ('{"index":5}', "no action"),
        ("x", "JSON"),
        ("", "JSON"),
        ('{"index":{}}', "JSON"),
        ('{"index":{}}\n[1]', "object"),
    ],
)
def test_what_is_no_item_says_so(line: str, says: str) -> None:
    (row,) = read("elastic", [line])
    assert says in row["parse_error"]
    assert row.get("class_uid") is None


def test_what_surrounds_a_line_is_read_whatever_it_holds() -> None:
    line = item(BEAT)[:-1] + r',"x":"\ud800"}'
    (row,) = read("elastic", [line])
    assert "JSON" in row["parse_error"]
    assert (row["device"]["hostname"], row["metadata"]["uid"]) == ("lb-1", "logs-edge/7")


def test_the_frame_work_knows_the_source(events) -> None:
    rows = events("elastic", [item(BEAT), item({"message": "x"}), "nothing"])
    assert [row["class_uid"] for row in rows] == [4002, 0, 0]
    assert [bool(row["parse_error"]) for row in rows] == [False, False, True]


names = st.sampled_from([*BEAT, "log", "event.original", "service", "kubernetes", "doc", "level"])


@pytest.mark.fuzz
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["index", "create", "update", "delete"]),
            json_values,
            json_values | st.dictionaries(names, json_values),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_values_are_read(many: list[tuple[str, object, object]]) -> None:
    assert_read("elastic", [item(document, {name: target}) for name, target, document in many])


@pytest.mark.fuzz
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_text_is_read(texts: list[str]) -> None:
    lines = [*texts, *('{"index":{}}\n' + text for text in texts)]
    assert_read("elastic", lines)
    assert_read("elastic", texts, abouts=[{"action": "index"}] * len(texts))
