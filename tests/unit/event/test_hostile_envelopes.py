"""Bytes from anyone as entries of the sources with envelopes: a row each, whatever they are."""

from __future__ import annotations

import json
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import number, wire

from muniment.event.decode import decode
from muniment.event.schema import SCHEMA

DATA = Path(__file__).parents[2] / "data"
BINARY = ["otlp", "loki", "forward", "envoy"]
SOURCES = [*BINARY, "cef", "leef", "syslog", "otlp/nginx", "loki/haproxy", "forward/syslog/cef"]

_LINE = b'10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET / HTTP/1.1" 200 5 "-" "-"'
_RECORD = wire(5, wire(1, _LINE)) + wire(6, wire(1, b"http.method") + wire(2, wire(1, b"GET")))
_PUSH = wire(1, wire(1, b'{a="b"}') + wire(2, wire(1, number(1, 17)) + wire(2, _LINE)))
GOOD = [
    (DATA / "envoy" / "http.bin").read_bytes(),
    (DATA / "envoy" / "tcp.json").read_bytes(),
    wire(1, wire(2, wire(2, _RECORD))),
    json.dumps(
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}
    ).encode(),
    _PUSH,
    b'{"streams":[{"stream":{"a":"b"},"values":[["1700000000000000000","x",{"c":"d"}]]}]}',
    msgpack.packb(["tag", msgpack.ExtType(0, bytes(8)), {"log": _LINE, "a": [{"b": None}]}]),
    b"<13>Nov 20 23:06:18 h CEF:0|V|P|1|5|n\\|m|3|src=10.0.0.1 rt=1510000000123 msg=a\\=b",
    b"LEEF:2.0|V|P|1|5|^|src=10.0.0.1^devTime=1510000000123^sev=5",
]
"""A good entry of each source, in each of its encodings."""


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    raw = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 12)))
        raw = raw[:start] + draw(st.binary(max_size=6) | st.sampled_from(GOOD)) + raw[end:]
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.booleans()) else raw


def _check(name: str, raws: list[bytes]) -> None:
    header = b'{"at":"2026-11-20T23:06:18Z","as":"%s","about":{"a":"b"},"seq":7}\n' % name.encode()
    table = decode([header + raw for raw in raws], log="l", shard="s", first=0)
    table.validate(full=True)
    assert table.schema == SCHEMA
    assert table["index"].to_pylist() == list(range(len(raws)))
    for row, raw in zip(table.to_pylist(), raws, strict=True):
        assert "parser failed" not in (row["parse_error"] or ""), row["parse_error"]
        assert row["class_uid"] is not None
        assert row["metadata"]["sequence"] == 7
        assert row["unmapped"] is None or isinstance(json.loads(row["unmapped"]), dict)
        text = raw.decode("utf-8", "backslashreplace")
        if row["raw_data"] != text:  # rendered
            assert name.partition("/")[0] in BINARY
            json.loads(row["raw_data"])
        assert len(row["raw_data"]) <= 64 * len(raw) + 64


@pytest.mark.parametrize("name", SOURCES)
def test_good_entries_of_any_source_under_any_name(name: str) -> None:
    _check(name, GOOD)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", SOURCES)
@given(raws=st.lists(spoilt(), min_size=1, max_size=6))
def test_spoilt_entries_make_a_row_each(name: str, raws: list[bytes]) -> None:
    _check(name, raws)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", SOURCES)
@given(raws=st.lists(st.binary(max_size=120), min_size=1, max_size=6))
def test_any_bytes_make_a_row_each(name: str, raws: list[bytes]) -> None:
    _check(name, raws)


_NAMES = st.sampled_from(
    [
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        "body",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "kvlistValue",
        "values",
        "streams",
        "stream",
        "entries",
        "labels",
        "identifier",
        "node",
        "httpLogs",
        "tcpLogs",
        "logEntry",
        "request",
        "commonProperties",
        "response",
        "tlsProperties",
        "startTime",
        "duration",
        "id",
        "traceId",
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=25,
)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", BINARY)
@given(values=st.lists(_JSON, min_size=1, max_size=4))
def test_json_of_any_form_makes_a_row_each(name: str, values: list[object]) -> None:
    _check(name, [json.dumps(value).encode() for value in values])


@pytest.mark.fuzz
@given(events=st.lists(_JSON, min_size=1, max_size=4))
def test_msgpack_of_any_form_makes_a_row_each(events: list[object]) -> None:
    packed = []
    for event in events:
        try:
            packed.append(msgpack.packb(["t", 1, event]))
        except OverflowError:
            packed.append(b"\x93")
    _check("forward", packed)
