"""Parsers of an administrator's own, out of TOML and Python files."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import SettingsError
from muniment.event import source
from muniment.event.own import Own, load, load_directory
from muniment.event.own.check import faults, rows
from muniment.event.own.definition import read
from muniment.event.own.parser import Defined
from muniment.event.schema import SCHEMA
from muniment.event.source import Context

DOOR = """
name = "doorman"
class = "http"
product = "Doorman"
zone = "Europe/Berlin"
pattern = [
  '^(?P<time>[^ ]+) (?P<client>[^ ]+) (?P<who>[^ ]+) "(?P<request>[^"]*)" (?P<status>[0-9]+) \
(?P<took>[^ ]+) (?P<verdict>[a-z]+) (?P<extra>.*)$',
  { regex = '^(?P<time>[^ ]+) reload (?P<what>.+)$', class = "lifecycle" },
]
[fields]
time = { to = "time_dt", format = "%d/%b/%Y:%H:%M:%S" }
client = "src_endpoint"
who = "actor.user.name"
request = ["http_request", "message"]
status = "http_response.code"
took = { to = "duration", as = "duration" }
verdict = { to = "status_id", map = { pass = 1, block = 2 } }
what = "message"
[constants]
"metadata.tenant_uid" = "north"
[[example]]
line = '21/Nov/2026:10:00:00 10.0.0.1:80 ann "GET /a?b=c HTTP/1.1" 200 1.5s pass x'
expect = { "http_request.url.path" = "/a", duration = 1500, time_dt = 2026-11-21T09:00:00Z }
[[example]]
line = "nonsense"
reads = false
"""
LINE = '21/Nov/2026:10:00:00 10.0.0.1:80 ann "GET /a?b=c HTTP/1.1" 200 1.5s pass x'


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    source._own.clear()
    source.sources.cache_clear()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def used(own: Own) -> Own:
    source.use({own.name: own.source})
    return own


@pytest.fixture
def door(tmp_path) -> Own:
    return used(load(written(tmp_path / "door.toml", DOOR)))


def test_fields_constants_and_what_has_no_field(door) -> None:
    row = rows(door.name, [LINE.encode()])[0]
    assert "parse_error" not in row
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4002, 3, 1)
    assert row["time_dt"] == datetime.datetime(2026, 11, 21, 9, tzinfo=datetime.UTC)
    assert row["src_endpoint"] == {"ip": "10.0.0.1", "port": 80}
    assert row["actor"]["user"]["name"] == "ann"
    assert row["http_request"]["url"]["query_string"] == "b=c"
    assert row["http_response"]["code"] == 200
    assert (row["duration"], row["status_code"]) == (1500, "200")
    assert row["message"] == "GET /a?b=c HTTP/1.1"
    assert row["metadata"]["tenant_uid"] == "north"
    assert row["metadata"]["product"]["name"] == "Doorman"
    assert json.loads(row["unmapped"]) == {"extra": "x"}


def test_patterns_are_tried_in_order_and_have_classes_of_their_own(door) -> None:
    reload, other = rows(door.name, [b"21/Nov/2026:10:00:00 reload all", b"nonsense"])
    assert (reload["class_uid"], reload["message"]) == (6002, "all")
    assert (other["class_uid"], other["parse_error"]) == (0, "none of the 2 patterns fits the line")
    assert other["raw_data"] == "nonsense"


def test_a_value_of_another_kind_is_kept_and_is_a_fault(door) -> None:
    row = rows(door.name, [LINE.replace("1.5s pass", "long hum").encode()])[0]
    assert row["class_uid"] == 4002
    assert row["parse_error"] == "took is no duration"
    assert json.loads(row["unmapped"]) == {"took": "long", "verdict": "hum", "extra": "x"}


def test_examples_are_tried(door, tmp_path) -> None:
    assert list(faults(door)) == []
    wrong = DOOR.replace("duration = 1500", "duration = 15").replace('"doorman"', '"other"')
    wrong = wrong.replace("reads = false", "")
    bad = used(load(written(tmp_path / "bad.toml", wrong)))
    assert list(faults(bad)) == [
        "example 1: duration is 1500, not 15",
        "example 2: parse_error is 'none of the 2 patterns fits the line'",
    ]


@pytest.mark.parametrize(
    ("how", "text", "value"),
    [
        ('{ to = "duration", as = "ns" }', "1500000", 1),
        ('{ to = "duration", as = "us" }', "1500", 1),
        ('{ to = "duration", as = "ms" }', "3.9", 3),
        ('{ to = "duration", as = "s" }', "0.25", 250),
        ('{ to = "duration", as = "duration" }', "1m2.5s", 62500),
        ('{ to = "status_id", as = "status" }', "denied", 2),
        ('{ to = "severity_id", as = "severity" }', "WARN", 3),
        ('{ to = "is_mfa" }', "yes", True),
        ('{ to = "http_request.x_forwarded_for", separator = ";" }', "a; b", ["a", "b"]),
        ('{ to = "time_dt" }', "2026-11-21T09:00:00Z", "2026-11-21T09:00:00+00:00"),
        ('{ to = "time_dt" }', "1700000000123", "2023-11-14T22:13:20.123000+00:00"),
        ('{ to = "time_dt", format = "%d.%m.%Y %H:%M %z" }', "21.11.2026 10:00 +0100", None),
        ('{ to = "comment", map = { a = "b" }, default = "c" }', "z", "c"),
        ('{ to = "resources.name" }', "web", [{"name": "web"}]),
    ],
)
def test_conversions(tmp_path, how, text, value) -> None:
    toml = f'name = "one"\nclass = "api"\npattern = "^(?P<x>.*)$"\n[fields]\nx = {how}\n'
    own = used(load(written(tmp_path / "one.toml", toml)))
    row = rows("one", [text.encode()])[0]
    assert "parse_error" not in row
    found = row[how.split('"')[1].split(".")[0]]
    if isinstance(found, datetime.datetime):
        found = found.isoformat()
        value = value or "2026-11-21T09:00:00+00:00"
    assert found == ({"x_forwarded_for": value} if "x_forwarded" in how else value)
    assert own.examples == []


def test_json_members(tmp_path) -> None:
    toml = """
name = "jay"
class = "api"
kind = "json"
envelope = "syslog"
[fields]
ts = "time_dt"
"who.name" = "actor.user.name"
"a.b" = "comment"
verb = "api.operation"
"req.method" = "http_request.http_method"
code = "http_response.code"
"""
    used(load(written(tmp_path / "jay.toml", toml)))
    line = {"ts": 1700000000, "who": {"name": "ann"}, "a.b": "dotted", "verb": "drain", "code": 403}
    line |= {"req": {"method": "PUT"}, "more": [1]}
    good, bad = rows("jay", [b"<13>Nov 20 23:06:18 h jay: " + json.dumps(line).encode(), b"{"])
    assert (good["class_uid"], good["activity_id"], good["status_id"]) == (6003, 3, 2)
    assert (good["actor"]["user"]["name"], good["comment"]) == ("ann", "dotted")
    assert good["device"]["hostname"] == "h"
    assert json.loads(good["unmapped"])["more"] == [1]
    assert (bad["class_uid"], bad["parse_error"][:14]) == (0, "not valid JSON")


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (('name = "doorman"', ""), "name", "it is missing"),
        (('"doorman"', '"Door man"'), "name", "use a-z"),
        (('"doorman"', '"nginx"'), "name", "there is a source 'nginx' already"),
        (('class = "http"', 'class = "htp"'), "class", "'http'"),
        (('product = "Doorman"', 'produkt = "Doorman"'), "produkt", "there is no such key"),
        (('"Europe/Berlin"', '"Europe/Nowhere"'), "zone", "no IANA time zone"),
        (('who = "actor.user.name"', 'whom = "comment"'), "fields.whom", "no pattern has a group"),
        (('"actor.user.name"', '"actor.user.nam"'), "fields.who", "no column 'actor.user.nam'"),
        (('"actor.user.name"', '"raw_data"'), "fields.who", "not for a parser to fill"),
        (('"actor.user.name"', '{ to = "duration", as = "hours" }'), "fields.who.0.as", "'ms'"),
        (('"actor.user.name"', '{ to = "comment", as = "ms" }'), "fields.who", "is text"),
        (("block = 2", 'block = "no"'), "fields.verdict", "a whole number"),
        (("(?P<what>.+)", "(?P<what>.+"), "pattern.1", "no regular expression"),
        (('tenant_uid" = "north"', 'tenant_uid" = 5'), "constants", "metadata.tenant_uid is text"),
        (("duration = 1500", "durasion = 1"), "example.0.expect", "no column 'durasion'"),
        (("[fields]", "[fields"), "", "not TOML"),
    ],
)
def test_a_fault_names_file_key_and_reason(tmp_path, change, key, reason) -> None:
    assert change[0] in DOOR
    path = written(tmp_path / "door.toml", DOOR.replace(*change))
    with pytest.raises(SettingsError) as raised:
        load(path)
    assert raised.value.detail.startswith(str(path))
    assert key in raised.value.detail
    assert reason in raised.value.detail


PYTHON = """
import polars as pl

class Door:
    def parse(self, lines, context):
        return pl.DataFrame({"message": lines.str.to_uppercase()})

SOURCE = Door()
"""


def test_a_python_file_is_run_only_when_it_is_asked_for(tmp_path) -> None:
    written(tmp_path / "my_door.py", PYTHON)
    written(tmp_path / "door.toml", DOOR)
    written(tmp_path / "notes.txt", "not a parser")
    assert list(load_directory(tmp_path, python=False)) == ["doorman"]
    found = load_directory(tmp_path, python=True)
    assert list(found) == ["doorman", "my-door"]
    used(found["my-door"])
    assert rows("my-door", [b"hello"])[0]["message"] == "HELLO"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("x = 1", "no object SOURCE"), ("1 / 0", "ZeroDivisionError"), ("class", "SyntaxError")],
)
def test_a_python_file_that_is_none(tmp_path, text, reason) -> None:
    path = written(tmp_path / "door.py", text)
    with pytest.raises(SettingsError, match=reason):
        load(path)


def test_directories(tmp_path) -> None:
    with pytest.raises(SettingsError, match="no such directory"):
        load_directory(tmp_path / "none", python=False)
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match=r"a \.toml or a \.py"):
        load(tmp_path / "none.yaml")
    written(tmp_path / "a.toml", DOOR)
    written(tmp_path / "b.toml", DOOR)
    with pytest.raises(SettingsError, match="another file has 'doorman', too"):
        load_directory(tmp_path, python=False)


def test_a_source_of_ones_own_is_a_hint_in_envelopes(door, events) -> None:
    row = events("syslog", [f"<13>Nov 20 23:06:18 h doorman: {LINE}"])[0]
    assert (row["http_response"]["code"], row["device"]["hostname"]) == (200, "h")
    with pytest.raises(ValueError, match="already"):
        source.use({"doorman": door.source})


@pytest.mark.fuzz
@given(st.lists(st.text(max_size=60) | st.just(LINE), max_size=6))
def test_any_lines_give_a_row_each(texts: list[str]) -> None:
    made = Defined(read(DOOR, "door.toml"))
    received = pl.Series([None] * len(texts), dtype=pl.Datetime("us", "UTC"))
    frame = made.parse(pl.Series(texts, dtype=pl.String), Context(received))
    assert frame.height == len(texts)
    assert set(frame.columns) <= set(SCHEMA.names)
    for text, fault in zip(texts, frame["parse_error"].to_list(), strict=True):
        assert (fault is None) == (text == LINE)


@pytest.mark.fuzz
@given(
    st.text(max_size=200) | st.builds(lambda a, b: DOOR[:a] + DOOR[b:], *[st.integers(0, 900)] * 2)
)
def test_any_text_is_a_definition_or_a_fault(text: str) -> None:
    try:
        read(text, "x.toml")
    except SettingsError as error:
        assert error.detail.startswith("x.toml: ")
