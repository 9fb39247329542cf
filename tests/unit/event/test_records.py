"""Objects of shippers with a program's line in them: alone, and inside other envelopes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.event.decode import decode

NGINX = '203.0.113.9 - - [21/Nov/2026:12:00:00 +0000] "GET /x HTTP/1.1" 502 17 "-" "curl/8"'
RECORD = {"log": NGINX, "stream": "stdout"}


def row(source: str, raw: str | bytes) -> dict[str, Any]:
    header = b'{"at":"2026-11-21T06:00:00.000000Z","as":"%b"}\n' % source.encode()
    entry = header + (raw if isinstance(raw, bytes) else raw.encode())
    (found,) = decode([entry], log="l", shard="s", first=0).to_pylist()
    return dict(found)


def push(line: str) -> str:
    values = [["1790000000000000000", line]]
    return json.dumps({"streams": [{"stream": {"job": "x"}, "values": values}]})


@pytest.mark.parametrize(
    ("source", "raw"),
    [
        ("record", json.dumps(RECORD)),
        ("splunk", json.dumps({"time": 1, "event": RECORD})),
        ("loki", push(json.dumps(RECORD))),
        ("loki", push(json.dumps({"message": NGINX}))),
        ("elastic", '{"create":{}}\n' + json.dumps({"Body": NGINX})),
        ("elastic", '{"create":{}}\n' + json.dumps({"body": {"text": NGINX}})),
    ],
)
def test_the_line_inside_is_read(source: str, raw: str) -> None:
    found = row(source, raw)
    assert (found["class_uid"], found["http_response"]["code"]) == (4002, 502)
    assert found["http_request"]["url"]["path"] == "/x"
    assert found["parse_error"] is None
    assert found["raw_data"] == raw


def test_what_stands_beside_the_line_is_kept() -> None:
    assert json.loads(row("record", json.dumps(RECORD))["unmapped"]) == {
        "record": {"stream": "stdout"}
    }


def test_an_object_with_a_message_of_its_own_is_no_record() -> None:
    found = row("loki", push('{"message":"hello","time":"2026-01-01T00:00:00Z"}'))
    assert (found["message"], str(found["time_dt"])[:10]) == ("hello", "2026-01-01")


def test_what_is_no_object_says_so() -> None:
    assert row("record", "not JSON")["parse_error"]


@pytest.mark.fuzz
@given(st.binary(max_size=300))
def test_any_bytes_are_one_row(raw: bytes) -> None:
    for attempt in (raw, b'{"log":"' + raw, b'{"log":"' + raw + b'"}'):
        assert row("record", attempt)["source"] == "record"
