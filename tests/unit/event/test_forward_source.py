"""The source `forward`: tag, time and record of Fluentd's and Fluent Bit's events."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgpack
import pytest

from muniment.event.forward import SOURCE

LINE = '10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET /a HTTP/1.1" 200 5 "-" "-"'
EVENT_TIME = msgpack.ExtType(0, struct.pack(">II", 1_700_000_000, 123_456_789))


def packed(tag: Any, time: Any, record: Any, *more: Any) -> bytes:
    return bytes(msgpack.packb([tag, time, record, *more]))


def rendered(time: Any, record: Any = None) -> str | None:
    return SOURCE.render([packed("t", time, {} if record is None else record)])[0]


def test_the_line_in_a_record_is_read_by_its_parser(events) -> None:
    record = {"log": LINE + "\n", "stream": "stdout", "kubernetes": {"host": "n1"}}
    row = events("forward", [packed("kube.var.log", EVENT_TIME, record)])[0]
    assert row["parse_error"] is None
    assert row["class_uid"] == 4002
    assert row["metadata"]["product"]["name"] == "NGINX"
    assert row["device"]["hostname"] == "n1"
    assert json.loads(row["unmapped"]) == {
        "tag": "kube.var.log",
        "record": {"stream": "stdout", "kubernetes": {"host": "n1"}},
    }
    assert json.loads(row["raw_data"])[2] == record


@pytest.mark.parametrize(
    ("tag", "record"),
    [
        ("haproxy.access", {}),
        ("edge", {"ident": "haproxy"}),
        ("edge", {"SYSLOG_IDENTIFIER": "haproxy"}),
        ("kube.x", {"kubernetes": {"container_name": "haproxy-ingress"}}),
        ("kube.x", {"kubernetes": {"labels": {"app.kubernetes.io/name": "haproxy"}}}),
    ],
)
def test_tag_or_record_may_name_the_parser(events, tag: str, record: dict[str, Any]) -> None:
    raw = packed(tag, 1_700_000_000, {"message": LINE, **record})
    assert events("forward", [raw])[0]["metadata"]["product"]["name"] == "HAProxy"
    assert events("forward/nginx", [raw])[0]["metadata"]["product"]["name"] == "NGINX"


def test_a_line_that_its_parser_cannot_read_is_the_message(events) -> None:
    row = events("forward", [packed("nginx.access", 1_700_000_000, {"message": "no such line"})])[0]
    assert row["parse_error"]
    assert (row["class_uid"], row["message"]) == (0, "no such line")


def test_a_record_of_journald(events) -> None:
    record = {"MESSAGE": "it broke", "PRIORITY": "3", "_HOSTNAME": "h1", "SYSLOG_IDENTIFIER": "app"}
    row = events("forward", [packed("journal", EVENT_TIME, record)])[0]
    assert (row["message"], row["severity_id"]) == ("it broke", 4)
    assert row["device"]["hostname"] == "h1"
    assert row["metadata"]["product"]["name"] == "app"
    assert row["time_dt"].isoformat() == "2023-11-14T22:13:20.123457+00:00"


def test_a_record_without_a_line_is_an_object(events) -> None:
    rows = events(
        "forward",
        [
            packed("app", EVENT_TIME, {"level": "warn", "a": {"b": 1}}),
            packed("app", EVENT_TIME, {"action": "user.create", "message": "m", "actor": "eve"}),
            packed("app", EVENT_TIME, {"class_uid": 4001, "message": "m", "activity_id": 1}),
        ],
    )
    assert [row["class_uid"] for row in rows] == [0, 3004, 4001]
    assert json.loads(rows[0]["unmapped"]) == {"a": {"b": 1}, "tag": "app"}
    assert rows[0]["severity_id"] == 3
    assert rows[1]["actor"]["user"]["name"] == "eve"
    assert all(row["time"] == 1_700_000_000_123 for row in rows)


def test_metadata_and_options_are_kept(events) -> None:
    raw = packed("t", [EVENT_TIME, {"m": 1}], {"log": "x"}, {"chunk": "c"})
    row = events("forward", [raw])[0]
    assert (row["message"], row["time"]) == ("x", 1_700_000_000_123)
    assert json.loads(row["unmapped"]) == {
        "tag": "t",
        "metadata": {"m": 1},
        "options": {"chunk": "c"},
    }


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (EVENT_TIME, "1700000000.123456789"),
        (1_700_000_000, "1700000000"),
        (1_700_000_000.5, "1700000000.5"),
        (msgpack.Timestamp(1_700_000_000, 5), "1700000000.000000005"),
        (msgpack.ExtType(0, struct.pack(">II", 1, 2**32 - 1)), '{"ext":0,"data":"AAAAAf////8="}'),
        (msgpack.ExtType(7, b"x"), '{"ext":7,"data":"eA=="}'),
        (float("nan"), '"nan"'),
    ],
)
def test_times_lose_nothing(time: Any, text: str) -> None:
    assert rendered(time) == f'["t",{text},{{}}]'


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"a": b"caf\xc3\xa9"}, '{"a":"café"}'),
        ({"a": b"caf\xe9\x00"}, '{"a":"caf\\\\xe9\\u0000"}'),
        ({1: 2, None: 3, b"\xff": 4}, '{"1":2,"null":3,"\\\\xff":4}'),
        ({"a": 2**64 - 1, "b": -(2**63)}, '{"a":18446744073709551615,"b":-9223372036854775808}'),
        ({"a": [{"b": [None, True]}]}, '{"a":[{"b":[null,true]}]}'),
    ],
)
def test_records_are_rendered_as_json(record: Any, text: str) -> None:
    assert rendered(1, record) == f'["t",1,{text}]'


def test_a_record_nested_too_deeply_is_no_harm(events) -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = {"a": deep}
    row = events("forward", [packed("t", 1, deep)])[0]
    assert "forward protocol" in row["parse_error"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x93",
        b"words",
        msgpack.packb(7),
        msgpack.packb(["t", 1]),
        msgpack.packb(["t", 1, "x"]),
        msgpack.packb({"a": 1}),
        packed("t", 1, {"a": 1}) + b"x",
    ],
)
def test_what_is_no_event_says_so(events, raw: bytes) -> None:
    row = events("forward", [raw])[0]
    assert "forward protocol" in row["parse_error"]
    assert row["raw_data"] or not raw


@pytest.mark.parametrize("member", [1, "x", None, [], {}, [[]], {"a": {"b": 1}}, 1e300, -1, True])
@pytest.mark.parametrize("name", ["log", "level", "PRIORITY", "host", "kubernetes", "trace_id"])
def test_members_of_any_kind_are_no_harm(events, name: str, member: object) -> None:
    row = events("forward", [packed(member, member, {"message": "x", name: member})])[0]
    assert row["parse_error"] is None
