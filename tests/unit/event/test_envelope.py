"""Envelopes: whose the line inside is, and what is put back."""

from __future__ import annotations

import json

import polars as pl
import pytest

from muniment.event.decode import decode
from muniment.event.envelope import Envelope, Opened, read
from muniment.event.facts import put_back
from muniment.event.guard import run
from muniment.event.source import Context
from muniment.event.unmapped import merged

COMBINED = '10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET /a HTTP/1.1" 200 5 "-" "-"'
HAPROXY = "Connect from 10.0.0.1:4 to 10.0.0.2:80 (fe/TCP)"
CEF = "CEF:0|V|P|1|5|name|3|src=10.0.0.1"
LEEF = "LEEF:1.0|V|P|1|5|src=10.0.0.1"


def context(height: int, inner: str = "") -> Context:
    return Context(pl.Series([None] * height, dtype=pl.Datetime("us", "UTC")), inner=inner)


def products(
    lines: list[str | None], hints: list[str | None] | None = None, inner: str = ""
) -> list:
    hint = None if hints is None else pl.Series(hints, dtype=pl.String)
    frame = read(pl.Series(lines, dtype=pl.String), hint, context(len(lines), inner))
    assert frame.height == len(lines)
    if "metadata" not in frame.columns:
        return [None] * len(lines)
    return [(row or {}).get("product", {}).get("name") for row in frame["metadata"].to_list()]


def test_the_shape_of_a_line_names_its_parser() -> None:
    syslog = f"<134>Nov 20 23:06:18 lb1 haproxy[1]: {HAPROXY}"
    lines = [COMBINED, HAPROXY, CEF, LEEF, syslog, "just words", None]
    assert products(lines) == ["NGINX", "HAProxy", "P", "P", "HAProxy", None, None]


@pytest.mark.parametrize(
    "line",
    ["2026-11-20T23:06:18Z ERROR controller: failed", "2026-11-20T23:06:18Z level=info x: y"],
)
def test_a_stamp_at_the_start_does_not_make_a_syslog_header(line: str) -> None:
    frame = read(pl.Series([line]), None, context(1))
    assert frame["message"].to_list() == [line]


def test_a_hint_goes_before_the_shape_and_the_path_before_the_hint() -> None:
    assert products([COMBINED, COMBINED], ["HAProxy-ingress", "web"]) == ["HAProxy", "NGINX"]
    assert products([COMBINED], ["haproxy"], inner="nginx") == ["NGINX"]


@pytest.mark.parametrize("name", ["otlp", "loki", "forward", "elastic", "kubernetes", "syslog"])
def test_a_program_called_like_a_protocol_writes_lines_of_its_own(name: str) -> None:
    frame = read(pl.Series(["words"]), pl.Series([name]), context(1))
    assert frame["message"].to_list() == ["words"]


def test_an_object_inside_is_read_as_one() -> None:
    frame = read(pl.Series(['{"action":"login","actor":"eve"}']), None, context(1))
    assert frame["class_uid"].to_list() == [3002]


class Wrapper(Envelope):
    """`hint:line`"""

    def open(self, lines: pl.Series, context: Context) -> Opened:
        parts = lines.str.splitn(":", 2).struct
        facts = pl.DataFrame(
            {
                "severity_id": [5] * len(lines),
                "device": [{"hostname": "h1"}] * len(lines),
                "unmapped": ['{"tag":1}'] * len(lines),
            }
        )
        return Opened(parts.field("field_1"), facts, parts.field("field_0"))


def test_what_the_envelope_knows_fills_what_the_line_does_not_tell(plugged) -> None:
    plugged["wrap"] = Wrapper()
    lines = pl.Series(["x:words", f"nginx:{COMBINED}", "none", 'x:{"a":1,"level":"warn"}'])
    frame = run("wrap", lines, context(4))
    assert frame["severity_id"].to_list() == [5, 1, 5, 3]
    assert [device["hostname"] for device in frame["device"].to_list()] == ["h1"] * 4
    assert frame["message"].to_list() == ["words", "GET /a HTTP/1.1", None, None]
    assert json.loads(frame["unmapped"][3]) == {"a": 1, "tag": 1}
    assert run("wrap/nginx", lines[:2], context(2))["parse_error"].is_null().to_list() == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("json/nginx", "the source 'json' holds no lines of others"),
        ("nope/nginx", "unknown source 'nope/nginx'"),
        ("syslog/nope", "unknown source 'nope'"),
        ("/".join(["syslog"] * 20), "unknown source"),
    ],
)
def test_a_path_that_leads_nowhere_says_so(events, name: str, why: str) -> None:
    row = events(name, ["x"])[0]
    assert why in row["parse_error"]
    assert (row["source"], row["raw_data"]) == (name, "x")


def test_a_path_names_the_parser_of_syslogs_bodies(events) -> None:
    row = events("syslog/nginx", [f"<14>Nov 20 23:06:18 h haproxy[1]: {COMBINED}"])[0]
    assert row["metadata"]["product"]["name"] == "NGINX"
    assert row["device"]["hostname"] == "h"


def frame(**columns: list) -> pl.DataFrame:
    return pl.DataFrame(columns, strict=False)


def test_facts_fill_structs_member_by_member() -> None:
    events = frame(
        metadata=[{"uid": "a", "product": {"name": "P"}}, {"uid": None, "product": None}]
    )
    facts = frame(metadata=[{"uid": "b", "product": {"name": "Q", "version": "1"}}] * 2)
    assert put_back(events, facts)["metadata"].to_list() == [
        {"uid": "a", "product": {"name": "P", "version": "1"}},
        {"uid": "b", "product": {"name": "Q", "version": "1"}},
    ]


def test_the_kind_of_an_event_is_not_mixed() -> None:
    events = frame(class_uid=[6002, None], activity_id=[None, None])
    facts = frame(class_uid=[4002, 4002], activity_id=[3, 3])
    made = put_back(events, facts)
    assert made["class_uid"].to_list() == [6002, 4002]
    assert made["activity_id"].to_list() == [None, 3]


def test_lists_of_objects_with_other_members_are_filled() -> None:
    events = frame(resources=[[{"name": "a"}], None])
    facts = frame(resources=[None, [{"name": "b", "uid": "1"}]])
    assert put_back(events, facts)["resources"].to_list() == [
        [{"name": "a", "uid": None}],
        [{"name": "b", "uid": "1"}],
    ]


def test_objects_are_joined_and_nothing_is_overwritten() -> None:
    first = pl.Series(['{"a":1}', '{"a":1}', None, "no json", None])
    second = pl.Series(['{"b":2}', '{"a":2}', '{"b":2}', '{"b":2}', None])
    assert merged(first, second).to_list() == [
        '{"a":1,"b":2}',
        '{"a":1,"envelope":{"a":2}}',
        '{"b":2}',
        '{"unmapped":"no json","b":2}',
        None,
    ]


def entry(header: dict[str, object], raw: bytes) -> bytes:
    return json.dumps({"at": "2026-11-20T23:11:00Z", "as": "text", **header}).encode() + b"\n" + raw


def rows(*entries: bytes) -> list[dict]:
    return decode(entries, log="l", shard="s", first=0).to_pylist()


def test_what_was_said_beside_the_bytes_is_kept() -> None:
    about = {"topic": "edge", "partition": "3"}
    row, other = rows(entry({"about": about, "seq": 12}, b"x"), entry({}, b'{"a":1}'))
    assert json.loads(row["unmapped"]) == {"about": about}
    assert row["metadata"]["sequence"] == 12
    assert other["metadata"] is None or other["metadata"]["sequence"] is None
    assert json.loads(other["unmapped"]) == {"a": 1}


@pytest.mark.parametrize("about", [1, "x", [], None, {"a": {"b": [1]}}])
@pytest.mark.parametrize("seq", [None, "x", 2**70, -1, [1]])
def test_a_header_that_says_nonsense_is_no_harm(about: object, seq: object) -> None:
    row = rows(entry({"about": about, "seq": seq, "part": None}, b"x"))[0]
    assert row["message"] == "x"
    assert row["parse_error"] is None


def test_a_part_of_a_record_is_not_taken_for_the_record() -> None:
    part = {"number": 2, "of": 3, "bytes": 150000, "sha256": "ab" * 32}
    whole = b'{"action":"login"}'
    found = rows(entry({"as": "json", "part": part}, whole), entry({"as": "json"}, whole))
    assert [row["class_uid"] for row in found] == [0, 3002]
    assert found[0]["parse_error"] == (
        f"part 2 of 3 of a record of 150,000 bytes, SHA-256 {'ab' * 32}"
    )
    assert found[0]["raw_data"] == whole.decode()
    assert found[0]["severity_id"] == 0


@pytest.mark.parametrize("part", [{}, 1, {"number": "x"}, {"number": 1, "of": 2, "bytes": None}])
def test_a_part_that_says_nonsense_is_one_all_the_same(part: object) -> None:
    row = rows(entry({"as": "json", "part": part}, b"{}"))[0]
    assert "part of a record" in row["parse_error"]


class Bytes:
    """Renders what begins with `ok`, and does all else wrong that can be."""

    reads_parts = True

    def render(self, raws: list[bytes]) -> list:
        if b"fewer" in raws and len(raws) > 1:
            return []
        wrong = {b"raise": None, b"number": 7, b"surrogate": "\ud800", b"fewer": "fewer"}
        if b"raise" in raws:
            raise KeyError("no")
        return [wrong[raw] if raw in wrong else f"<{raw.decode()}>" for raw in raws]

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        return pl.DataFrame({"message": lines, "class_uid": [4001] * len(lines)})


@pytest.fixture
def theirs(plugged) -> None:
    plugged["theirs"] = Bytes()


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("bad", ["raise", "number", "surrogate", "fewer"])
def test_a_renderer_that_fails_costs_no_other_entry(events, bad: str) -> None:
    lines = [row["raw_data"] for row in events("theirs", ["ok 1", bad, "ok 2"])]
    assert lines == ["<ok 1>", bad, "<ok 2>"]
    assert events("theirs", [bad])[0]["raw_data"] == bad


@pytest.mark.usefixtures("theirs")
def test_rendered_and_plain_entries_may_alternate() -> None:
    found = rows(entry({}, b"a\xff"), entry({"as": "theirs"}, b"ok"), entry({}, b"b"), b"no header")
    assert [row["raw_data"] for row in found] == ["a\\xff", "<ok>", "b", "no header"]
    assert [row["message"] for row in found][:3] == ["a\\xff", "<ok>", "b"]


@pytest.mark.usefixtures("theirs")
def test_the_first_part_is_read_by_a_source_that_can() -> None:
    parts = [{"number": n, "of": 2, "bytes": 70000, "sha256": "ab"} for n in (1, 2)]
    found = rows(*(entry({"as": "theirs", "part": part}, b"ok") for part in parts))
    assert [row["class_uid"] for row in found] == [4001, 0]
    assert all("of 2 of a record of 70,000 bytes" in row["parse_error"] for row in found)
