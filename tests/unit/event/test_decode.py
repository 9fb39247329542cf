"""decode(): one row an entry, in order, whatever the bytes are."""

from __future__ import annotations

import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muniment.event import guard, source
from muniment.event.decode import decode
from muniment.event.schema import SCHEMA
from muniment.event.source import Context

DATA = Path(__file__).parents[2] / "data"
SOURCES = ["haproxy", "nginx", "syslog", "json", "muniment", "text", None, "no-such-source"]
AT = datetime.datetime(2026, 11, 20, 23, 6, 18, 734001, tzinfo=datetime.UTC)
HEADER = (
    b'{"at":"2026-11-20T23:06:18.734001Z","node":"n1","via":"http","peer":"127.0.0.1:5312",'
    b'"from":"alice","as":"text","seq":7,"id":"x"}\n'
)

# Text that comes near to what parsers look for finds more than noise does.
_FRAGMENTS = st.sampled_from(
    [
        b"<134>",
        b"Nov 20 23:06:18 ",
        b"haproxy[1]: ",
        b"127.0.0.1:57176 ",
        b"[20/Nov/2026:23:06:18.734] ",
        b"[32/Foo/9999:99:99:99.999] ",
        b"127.0.0.1 - - [20/Nov/2026:23:08:16 +0000] ",
        b"http-in web/w1 0/0/0/0/0 200 148 - - ---- 1/1/0/0/0 0/0 ",
        b"0/0/0 99999999999999999999999 -- ",
        b"{a|b} {} ",
        b'"GET / HTTP/1.1"',
        b'"GET #C3#FF HTTP/1.1" ',
        b"#22#7C\\x22\\xFF",
        b'{"class_uid":4002,"time":9e99,"http_request":[1]}',
        b'{"action":"x","time":-1,"actor":{"a":[[]]},"resource":[{"name":{}}]}',
        b'{"request":"GET / HTTP/1.1","status":"\\x22","msec":1e300}',
        b'<1>1 2026-11-20T23:06:18Z h a p m [x@1 y="\\""] ',
        b"2026/11/20 23:08:16 [error] 1#1: *7 x, client: 1, server: , request: ",
        b"Server web/w1 is DOWN",
        b"\xff\x00\xed\xa0\x80",
        b"\n",
        b"\r\n\t",
        b"",
    ]
)
_RAW = st.one_of(st.binary(max_size=80), st.lists(_FRAGMENTS, max_size=6).map(b"".join))


def test_the_receipt_header_fills_the_columns_of_the_receipt() -> None:
    row = decode([HEADER + b"hello"], log="edge", shard="0a1b2c3d", first=5).to_pylist()[0]
    assert row["log"] == "edge"
    assert row["shard"] == "0a1b2c3d"
    assert row["index"] == 5
    assert row["received"] == row["time_dt"] == AT
    assert row["time"] == int(AT.timestamp() * 1000)
    assert row["source"] == "text"
    assert row["via"] == "http"
    assert row["peer"] == "127.0.0.1:5312"
    assert row["sender"] == "alice"
    assert row["node"] == "n1"
    assert row["raw_data"] == row["message"] == "hello"
    assert row["parse_error"] is None


def test_no_entries_are_an_empty_table() -> None:
    table = decode([], log="l", shard="s", first=0)
    assert table.schema == SCHEMA
    assert table.num_rows == 0


def test_an_object_without_any_member_is_null() -> None:
    row = decode([HEADER + b"x"], log="l", shard="s", first=0).to_pylist()[0]
    assert row["http_request"] is None
    assert row["load_balancer"] is None


def test_bytes_that_are_not_utf8_are_written_out() -> None:
    table = decode(
        [HEADER + b"caf\xc3\xa9 \xff\x80", HEADER + b"plain"], log="l", shard="s", first=0
    )
    assert table["raw_data"].to_pylist() == ["café \\xff\\x80", "plain"]


@pytest.mark.parametrize("bad", [b"", b"no newline", b"[]\nx", b"{}\nx", b"\n", b"{broken\nx"])
def test_an_entry_without_a_receipt_header_is_kept_whole(bad: bytes) -> None:
    row = decode([bad, HEADER + b"x"], log="l", shard="s", first=0).to_pylist()[0]
    assert row["raw_data"] == bad.decode()
    assert "receipt header" in row["parse_error"]


def test_an_unknown_source_is_named_and_the_line_kept(events) -> None:
    row = events("no-such-source", ["abc"])[0]
    assert row["class_uid"] == 0
    assert row["parse_error"] == "unknown source 'no-such-source'"
    assert row["raw_data"] == "abc"


def test_sources_may_alternate_within_a_batch() -> None:
    lines = [
        (b"haproxy", b"Connect from 10.0.0.1:4 to 10.0.0.2:80 (fe/TCP)"),
        (b"text", b"one"),
        (b"json", b'{"action":"scale"}'),
        (b"haproxy", b"nonsense"),
        (b"text", b"two"),
    ]
    entries = [b'{"at":"2026-11-20T23:06:18Z","as":"%s"}\n%s' % line for line in lines]
    rows = decode(entries, log="l", shard="s", first=0).to_pylist()
    assert [row["raw_data"] for row in rows] == [raw.decode() for _, raw in lines]
    assert [row["source"] for row in rows] == [name.decode() for name, _ in lines]
    assert [row["class_uid"] for row in rows] == [4001, 0, 6003, 0, 0]
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=120, deadline=None)
@given(raws=st.lists(_RAW, max_size=8))
def test_any_bytes_make_a_row_each_in_order(name: str | None, raws: list[bytes]) -> None:
    kind = b"" if name is None else b',"as":"%s"' % name.encode()
    entries = [b'{"at":"2026-11-20T23:06:18.734001Z"%s}\n%s' % (kind, raw) for raw in raws]
    table = decode(entries, log="l", shard="s", first=0)
    table.validate(full=True)
    assert table.schema == SCHEMA
    assert table["raw_data"].to_pylist() == [
        raw.decode("utf-8", "backslashreplace") for raw in raws
    ]
    errors = table["parse_error"].to_pylist()
    assert not any(error and "parser failed" in error for error in errors), errors
    assert None not in table["time"].to_pylist()


_REAL = [
    line
    for file in (
        "haproxy/udp_rfc3164_len8192.log",
        "nginx/access_upstreaminfo.log",
        "nginx/access_json_escape_json.log",
        "nginx/error.log",
        "haproxy/stderr.log",
    )
    for line in (DATA / file).read_bytes().split(b"\n")
    if 0 < len(line) < 600
]


@st.composite
def _spoilt(draw: st.DrawFn) -> bytes:
    """A real line with something else in a place or two, or without its end."""
    line = draw(st.sampled_from(_REAL))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        end = min(len(line), start + draw(st.integers(0, 12)))
        line = line[:start] + draw(_FRAGMENTS | st.binary(max_size=6)) + line[end:]
    return line[: draw(st.integers(0, len(line)))] if draw(st.booleans()) else line


@pytest.mark.parametrize("name", ["haproxy", "nginx", "syslog", "json"])
@settings(max_examples=150, deadline=None)
@given(raws=st.lists(_spoilt(), max_size=12))
def test_spoilt_lines_make_a_row_each_in_order(name: str, raws: list[bytes]) -> None:
    entries = [b'{"at":"2026-11-20T23:06:18Z","as":"%s"}\n%s' % (name.encode(), r) for r in raws]
    table = decode(entries, log="l", shard="s", first=0)
    table.validate(full=True)
    assert table["raw_data"].to_pylist() == [
        raw.decode("utf-8", "backslashreplace") for raw in raws
    ]
    errors = table["parse_error"].to_pylist()
    assert not any(error and "parser failed" in error for error in errors), errors


@settings(max_examples=100, deadline=None)
@given(entries=st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_at_all_may_be_called_an_entry(entries: list[bytes]) -> None:
    assert decode(entries, log="l", shard="s", first=0).num_rows == len(entries)


class _Hostile:
    """Fails for a batch that holds a certain line."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        if "bad" in lines.to_list():
            raise KeyError("cannot")
        return pl.DataFrame({"message": lines})


def test_a_line_that_makes_a_parser_raise_does_not_cost_the_others(plugged, events) -> None:
    plugged["theirs"] = _Hostile()
    lines = [f"line {i}" for i in range(50)]
    lines[17] = "bad"
    rows = events("theirs", lines)
    assert [row["raw_data"] for row in rows] == lines
    assert [row["index"] - 100 for row in rows if row["parse_error"]] == [17]
    assert rows[17]["parse_error"] == "the theirs parser failed: KeyError: 'cannot'"
    assert rows[18]["message"] == "line 18"


def test_a_parser_that_always_raises_is_not_asked_for_ever(plugged, events) -> None:
    plugged["theirs"] = _Hostile()
    rows = events("theirs", ["bad"] * 1000)
    assert all("KeyError" in row["parse_error"] for row in rows)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (pl.DataFrame({"message": ["a"]}), "1 rows came back for 2 lines"),
        (pl.DataFrame({"nope": ["a", "b"]}), "columns that the schema does not have"),
        (pl.DataFrame({"raw_data": ["a", "b"]}), "columns that the schema does not have"),
        (pl.DataFrame({"duration": ["a", "b"]}), "duration is String"),
        (pl.DataFrame({"tls": [{"x": "a"}] * 2}), "tls.x is not in the schema"),
        (pl.DataFrame({"tls": ["a", "b"]}), "not a struct"),
        (pl.DataFrame({"resources": [[1], [2]]}), "resources"),
    ],
)
def test_what_a_parser_answers_is_checked(plugged, events, frame: pl.DataFrame, why: str) -> None:
    class Wrong:
        def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
            return frame if len(lines) == 2 else pl.DataFrame({"wrong": [1] * len(lines)})

    plugged["theirs"] = Wrong()
    rows = events("theirs", ["x", "y"])
    assert [row["raw_data"] for row in rows] == ["x", "y"]
    assert all(row["class_uid"] == 0 and row["parse_error"] for row in rows)
    with pytest.raises(ValueError, match=why.replace("[", r"\[")):
        guard._checked(frame, 2)


def test_a_number_too_large_for_its_column_is_dropped_not_wrapped(plugged, events) -> None:
    class Large:
        def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
            return pl.DataFrame({"class_uid": [4002 + 2**32] * len(lines), "duration": [2**40]})

    plugged["theirs"] = Large()
    row = events("theirs", ["x"])[0]
    assert row["class_uid"] == 0
    assert row["duration"] == 2**40


def test_the_built_in_sources_are_entry_points() -> None:
    from importlib.metadata import entry_points

    offered = {point.name for point in entry_points(group=source.GROUP)}
    assert {"haproxy", "nginx", "ingress-nginx", "syslog", "json", "muniment", "text"} <= offered
    for name in source.sources():
        found = source.find(name)
        assert found is not None
        assert callable(found.parse)
