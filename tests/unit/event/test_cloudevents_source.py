"""CloudEvents: the attributes around the data, in all modes."""

from __future__ import annotations

import base64
import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_envelopes import NGINX, assert_read, json_values, read

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EVENT = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/edge/certs",
    "type": "test.certificate.renewed",
    "time": "2026-11-20T23:06:18.734001Z",
    "subject": "www",
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    "severitytext": "WARN",
    "datacontenttype": "application/json",
    "myextension": "x",
}
ATTRIBUTES = {
    k: v for k, v in EVENT.items() if k not in ("type", "time", "subject", "severitytext")
}


def row_of(data: object, **more: object) -> dict:
    """The row of a structured event."""
    (row,) = read("cloudevents", [json.dumps({**EVENT, "data": data, **more})])
    return row


def check_attributes(row: dict) -> None:
    metadata = row["metadata"]
    assert metadata["uid"] == "/edge/certs A-1"
    assert metadata["event_code"] == EVENT["type"]
    assert metadata["log_name"] == EVENT["source"]
    assert metadata["correlation_uid"] == TRACE
    assert row["time_dt"] == datetime.datetime.fromisoformat(EVENT["time"])
    assert row["parse_error"] is None


def test_an_event_whose_data_no_class_fits() -> None:
    row = row_of({"days": 30})
    check_attributes(row)
    assert row["message"] == EVENT["type"]
    assert [resource["name"] for resource in row["resources"]] == ["www"]
    assert json.loads(row["unmapped"]) == {"days": 30, **ATTRIBUTES}


def test_data_of_the_native_form_becomes_its_class() -> None:
    row = row_of({"action": "certificate.update", "actor": "alice"})
    check_attributes(row)
    assert (row["class_uid"], row["activity_id"]) == (6003, 3)
    assert row["actor"]["user"]["name"] == "alice"
    assert row["message"] == "certificate.update"
    assert [resource["name"] for resource in row["resources"]] == ["www"]


def test_what_the_data_says_goes_before_what_the_attributes_say() -> None:
    inner = {"class_uid": 3002, "time": 1, "metadata": {"uid": "own"}, "severity_id": 4}
    row = row_of(inner)
    assert (row["class_uid"], row["severity_id"]) == (3002, 4)
    assert row["metadata"]["uid"] == "own"
    assert row["time_dt"].year == 1970
    left = json.loads(row["unmapped"])
    assert (left["source"], left["id"]) == (EVENT["source"], EVENT["id"])


def test_lines_in_the_data_go_to_their_parser() -> None:
    row = row_of(NGINX, datacontenttype="text/plain")
    assert row["class_uid"] == 4002
    assert row["http_response"]["code"] == 404
    assert row["metadata"]["uid"] == "/edge/certs A-1"


@pytest.mark.parametrize("data", [[1, 2], 5, True, None])
def test_data_that_is_no_line_is_kept(data: object) -> None:
    row = row_of(data)
    check_attributes(row)
    assert json.loads(row["unmapped"]) == ATTRIBUTES | ({} if data is None else {"data": data})


@pytest.mark.parametrize(
    "event",
    [
        {"data_base64": base64.b64encode(NGINX.encode()).decode()},
        {
            "specversion": "0.3",
            "datacontentencoding": "base64",
            "data": base64.b64encode(NGINX.encode()).decode(),
        },
    ],
)
def test_base64_is_undone_where_text_is_inside(event: dict) -> None:
    (row,) = read("cloudevents", [json.dumps({**EVENT, "datacontenttype": "text/plain", **event})])
    assert row["http_response"]["code"] == 404
    assert NGINX not in row["unmapped"]


@pytest.mark.parametrize("encoded", ["%%%", "gICA", 5, {"a": 1}])
def test_base64_of_something_else_stays_in_the_raw_data(encoded: object) -> None:
    (row,) = read("cloudevents", [json.dumps({**EVENT, "data_base64": encoded})])
    check_attributes(row)
    assert row["message"] == EVENT["type"]
    picture = {**EVENT, "datacontenttype": "image/png", "data_base64": "QUJD"}
    (row,) = read("cloudevents", [json.dumps(picture)])
    assert row["message"] == EVENT["type"]


def test_in_binary_mode_the_attributes_come_from_the_header() -> None:
    attributes = {name: str(value) for name, value in EVENT.items()}
    rows = read(
        "cloudevents",
        ['{"action":"token.revoke"}', NGINX, "", "\\x89PNG", json.dumps(EVENT)],
        [
            attributes,
            {**attributes, "datacontenttype": "text/plain"},
            attributes,
            {**attributes, "datacontenttype": "image/png"},
            None,
        ],
    )
    assert [row["class_uid"] for row in rows] == [3004, 4002, None, None, None]
    assert {row["metadata"]["uid"] for row in rows} == {"/edge/certs A-1"}
    assert [row["message"] for row in rows[2:]] == [EVENT["type"]] * 3
    assert json.loads(rows[2]["unmapped"]) == ATTRIBUTES
    assert not any(row["parse_error"] for row in rows)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}", "no CloudEvent: it has no specversion, id, source, type"),
        (json.dumps({**EVENT, "id": 5}), "no CloudEvent: it has no id"),
        ("[]", "object"),
        ("nope", "JSON"),
        ("", "JSON"),
    ],
)
def test_what_is_no_event_says_so(line: str, says: str) -> None:
    (row,) = read("cloudevents", [line])
    assert says in row["parse_error"]
    assert row.get("class_uid") is None


def test_the_attributes_are_read_whatever_the_data_holds() -> None:
    line = json.dumps(EVENT)[:-1] + r',"data":"\ud800"}'
    (row,) = read("cloudevents", [line])
    assert "JSON" in row["parse_error"]
    assert row["metadata"]["uid"] == "/edge/certs A-1"


def test_a_time_that_is_none_is_kept() -> None:
    row = row_of({}, time="soon")
    assert row["time_dt"] is None
    assert json.loads(row["unmapped"])["time"] == "soon"


def test_the_frame_work_knows_the_source(events) -> None:
    row = events("cloudevents", [json.dumps({**EVENT, "data": {"action": "x"}})])[0]
    assert (row["class_uid"], row["metadata"]["uid"]) == (6003, "/edge/certs A-1")
    assert row["severity_id"] in (1, 3)


@pytest.mark.fuzz
@given(
    st.lists(
        st.dictionaries(st.sampled_from([*EVENT, "data", "data_base64"]), json_values),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_any_values_are_read(many: list[dict], whole: bool) -> None:
    assert_read("cloudevents", [json.dumps({**EVENT, **each} if whole else each) for each in many])


@pytest.mark.fuzz
@given(st.lists(st.tuples(st.text(max_size=40), st.booleans()), min_size=1, max_size=4))
def test_any_text_is_read(texts: list[tuple[str, bool]]) -> None:
    about = {name: str(value) for name, value in EVENT.items()}
    abouts = [about if binary else None for _, binary in texts]
    assert_read("cloudevents", [text for text, _ in texts], abouts=abouts)
