"""The source `loki`: labels, structured metadata and the line, in JSON and in Protobuf."""

from __future__ import annotations

import json

import pytest
from wire import number, wire

from muniment.event.loki import SOURCE, labels_of

LINE = '10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET /a HTTP/1.1" 200 5 "-" "-"'
SECONDS, NANOS = 1_700_000_000, 123_456_789
STAMP = f"{SECONDS}{NANOS}"


def push(labels: bytes, line: bytes, metadata: dict[bytes, bytes] | None = None) -> bytes:
    """A push request in Protobuf."""
    entry = wire(1, number(1, SECONDS) + number(2, NANOS)) + wire(2, line)
    for name, value in (metadata or {}).items():
        entry += wire(3, wire(1, name) + wire(2, value))
    return wire(1, wire(1, labels) + wire(2, entry) + number(3, 2**63))


def in_json(labels: object, *value: object) -> str:
    return json.dumps({"streams": [{"stream": labels, "values": [value]}]})


def test_both_encodings_say_the_same(events) -> None:
    labels = {"job": "shop/nginx", "host": "lb1", "level": "error"}
    metadata = {"trace_id": "abc", "pod": "p-1"}
    proto = push(
        b'{job="shop/nginx", host="lb1", level="error"}',
        LINE.encode(),
        {b"trace_id": b"abc", b"pod": b"p-1"},
    )
    first, second = events("loki", [proto, in_json(labels, STAMP, LINE, metadata)])
    assert json.loads(first["raw_data"]) == json.loads(second["raw_data"])
    for row in (first, second):
        assert row["parse_error"] is None
        assert row["class_uid"] == 4002
        assert row["metadata"]["product"]["name"] == "NGINX"
        assert row["metadata"]["correlation_uid"] == "abc"
        assert row["metadata"]["log_level"] == "error"
        assert row["device"]["hostname"] == "lb1"
        assert json.loads(row["unmapped"]) == {"labels": labels, "metadata": metadata}


def test_a_line_of_no_source_is_a_message_with_the_time_of_the_entry(events) -> None:
    row = events("loki", [in_json({"app": "cart", "level": "warn"}, STAMP, "hello")])[0]
    assert (row["message"], row["severity_id"]) == ("hello", 3)
    assert row["metadata"]["product"]["name"] == "cart"
    assert row["time"] == int(STAMP) // 1_000_000
    assert row["time_dt"].microsecond == 123_456


@pytest.mark.parametrize("label", ["app", "container", "service_name", "job"])
def test_a_label_may_name_the_parser(events, label: str) -> None:
    row = events("loki", [in_json({label: "haproxy"}, STAMP, LINE)])[0]
    assert row["metadata"]["product"]["name"] == "HAProxy"
    row = events("loki/nginx", [in_json({label: "haproxy"}, STAMP, LINE)])[0]
    assert row["metadata"]["product"]["name"] == "NGINX"


def test_a_line_with_a_syslog_header_is_read_with_it(events) -> None:
    line = "Nov 20 23:06:18 lb1 haproxy[9]: Connect from 10.0.0.1:4 to 10.0.0.2:80 (fe/TCP)"
    row = events("loki", [in_json({"job": "varlogs"}, STAMP, line)])[0]
    assert (row["class_uid"], row["device"]["hostname"]) == (4001, "lb1")


def test_the_form_of_the_old_path_is_read(events) -> None:
    entry = {"ts": "2026-11-20T23:06:18.734001Z", "line": "hello"}
    old = {"streams": [{"labels": '{app="cart"}', "entries": [entry]}]}
    row = events("loki", [json.dumps(old)])[0]
    assert row["message"] == "hello"
    assert row["time_dt"].isoformat() == "2026-11-20T23:06:18.734001+00:00"
    assert json.loads(row["unmapped"]) == {"labels": {"app": "cart"}}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("{}", {}),
        ("", ""),
        ('{a="b"}', {"a": "b"}),
        ('{a="b", c_1="d,}e"}', {"a": "b", "c_1": "d,}e"}),
        ('{ a = "b" ,c="" , }', {"a": "b", "c": ""}),
        (r'{a="\"\\\n\u00e9"}', {"a": '"\\\né'}),
        (r'{a="\x41\101\U0001f600\a"}', {"a": "AA\U0001f600\a"}),
        (r'{a="\xff\777"}', {"a": r"\xff\777"}),
        ('{a="b}', '{a="b}'),
        ("{a=b}", "{a=b}"),
        ('{"a":"b"}', '{"a":"b"}'),
    ],
)
def test_labels_as_prometheus_writes_them(text: str, labels: object) -> None:
    assert labels_of(text) == labels


def test_labels_that_cannot_be_read_are_kept(events) -> None:
    row = events("loki", [push(b"{broken", b"hello")])[0]
    assert row["message"] == "hello"
    assert json.loads(row["unmapped"]) == {"labels": "{broken"}


def test_the_record_of_the_collectors_exporter_is_taken_apart(events) -> None:
    record = {"body": LINE, "traceid": "abc", "severity": "warn", "attributes": {"a": 1}}
    other = {"body": "x", "unknown": 1}
    texts = [json.dumps(one, separators=(",", ":")) for one in (record, other)]
    first, second = events("loki", [in_json({"exporter": "OTLP"}, STAMP, t) for t in texts])
    assert (first["class_uid"], first["metadata"]["correlation_uid"]) == (4002, "abc")
    assert json.loads(first["unmapped"])["record"]["attributes"] == {"a": 1}
    assert json.loads(second["unmapped"])["unknown"] == 1


@pytest.mark.parametrize("tag", ["F", "P", "F:x"])
def test_the_prefix_of_a_container_runtime_is_taken_off(events, tag: str) -> None:
    line = f"2026-11-20T23:06:18.123456789Z stdout {tag} {LINE}"
    row = events("loki", [in_json({"job": "kube"}, STAMP, line)])[0]
    assert row["class_uid"] == 4002
    assert json.loads(row["unmapped"])["container"] == {
        "time": "2026-11-20T23:06:18.123456789Z",
        "stream": "stdout",
        "tag": tag,
    }


def test_text_that_is_not_utf8_is_kept(events) -> None:
    row = events("loki", [push(b'{a="b"}', b"caf\xe9")])[0]
    assert (row["message"], row["parse_error"]) == ("caf\\xe9", None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xff",
        b'{"streams":[]}',
        b'{"streams":[{"values":[]}]}',
        b'{"streams":[{"stream":{},"values":[["1"]]}]}',
        b'{"streams":{"a":1}}',
        b"words",
    ],
)
def test_what_is_no_push_says_so(events, raw: bytes) -> None:
    row = events("loki", [raw])[0]
    assert "Loki" in row["parse_error"]
    assert row["raw_data"] == raw.decode("utf-8", "backslashreplace")


def test_more_than_one_entry_is_not_overlooked(events) -> None:
    value = [STAMP, "x"]
    raw = {"streams": [{"stream": {}, "values": [value, value]}]}
    row = events("loki", [json.dumps(raw)])[0]
    assert row["message"] == "x"
    assert "only the first" in row["parse_error"]


@pytest.mark.parametrize("member", [1, "x", None, [], {}, [[]], {"a": {"b": 1}}, 1e300, True])
@pytest.mark.parametrize("place", ["labels", "stamp", "line", "metadata"])
def test_members_of_any_kind_are_no_harm(events, place: str, member: object) -> None:
    parts = {"labels": {"a": "b"}, "stamp": STAMP, "line": "x", "metadata": {}} | {place: member}
    row = events("loki", [in_json(*parts.values())])[0]
    assert row["parse_error"] is None


def test_a_json_push_is_not_rendered() -> None:
    assert SOURCE.render([b'{"streams":[]}']) == [None]
