"""The sources `cef` and `leef`, alone and in syslog."""

from __future__ import annotations

import json
from typing import Any

import pytest

CEF = (
    r"CEF:0|Security\|Co|threat\\manager|1.0|100|detected a \| in message|10|"
    r"src=10.0.0.1 act=blocked a | dst=2001:db8::1 spt=1232 suser=bob cs1Label=Rule cs1=a b  c "
    r"msg=a \= b\nnext rt=1510000000123 empty= path=C:\\dir odd=\q"
)
LEEF1 = (
    "LEEF:1.0|QRadar|QRM|1.0|NEW_PORT|src=172.5.6.67\tdst=172.50.123.1\tsev=5\tcat=anomaly"
    "\tsrcPort=81\tdstPort=21\tusrName=joe.black\tmsg=there are spaces = here"
)


def extension(events: Any, text: str, **header: str) -> dict[str, Any]:
    row = events("cef", [f"CEF:0|V|P|1|5|name|{header.get('severity', '5')}|{text}"])[0]
    assert row["parse_error"] is None
    return row


def test_cef_in_full(events) -> None:
    row = events("cef", [CEF])[0]
    assert row["parse_error"] is None
    assert (row["class_uid"], row["severity_id"]) == (0, 5)
    assert row["message"] == "a = b\nnext"
    assert row["status_detail"] == "blocked a |"
    assert row["time"] == 1510000000123
    metadata = row["metadata"]
    assert metadata["product"]["vendor_name"] == "Security|Co"
    assert metadata["product"]["name"] == r"threat\manager"
    assert metadata["product"]["version"] == "1.0"
    assert (metadata["event_code"], metadata["log_level"]) == ("100", "10")
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("10.0.0.1", 1232)
    assert row["dst_endpoint"]["ip"] == "2001:db8::1"
    assert row["actor"]["user"]["name"] == "bob"
    assert json.loads(row["unmapped"]) == {
        "cs1Label": "Rule",
        "cs1": "a b  c",
        "empty": "",
        "path": r"C:\dir",
        "odd": r"\q",
        "name": "detected a | in message",
    }


def test_leef_1(events) -> None:
    row = events("leef", [LEEF1])[0]
    assert row["parse_error"] is None
    assert (row["class_uid"], row["severity_id"]) == (0, 3)
    assert row["message"] == "there are spaces = here"
    assert row["metadata"]["event_code"] == "NEW_PORT"
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("172.5.6.67", 81)
    assert (row["dst_endpoint"]["ip"], row["dst_endpoint"]["port"]) == ("172.50.123.1", 21)
    assert row["actor"]["user"]["name"] == "joe.black"
    assert json.loads(row["unmapped"]) == {"cat": "anomaly"}


@pytest.mark.parametrize(
    "rest",
    [
        "^|src=10.0.1.8^usrName=joe",
        "x5E|src=10.0.1.8^usrName=joe",
        "0x5e|src=10.0.1.8^usrName=joe",
        "||src=10.0.1.8\tusrName=joe"[1:],
        "src=10.0.1.8\tusrName=joe",
        "\t|src=10.0.1.8\tusrName=joe",
        "x7C|src=10.0.1.8|usrName=joe",
        "=|src=10.0.1.8"[2:] + "\tusrName=joe",
    ],
)
def test_delimiters_of_leef_2(events, rest: str) -> None:
    row = events("leef", [f"LEEF:2.0|Lancope|StealthWatch|1.0|41|{rest}"])[0]
    assert row["parse_error"] is None
    assert row["src_endpoint"]["ip"] == "10.0.1.8"
    assert row["actor"]["user"]["name"] == "joe"
    assert row["unmapped"] is None


@pytest.mark.parametrize("message", [CEF, LEEF1])
@pytest.mark.parametrize(
    "header",
    [
        "<134>Nov 20 23:06:18 fw1 ",
        "<134>Nov  2 23:06:18 192.0.2.1 ",
        "Nov 20 23:06:18 fw1 ",
        "<134>2026-11-20T23:06:18.123Z fw1 ",
        "<134>1 2026-11-20T23:06:18Z fw1 app 7 - - ",
        "<134>1 2026-11-20T23:06:18Z fw1 app 7 - - \ufeff",
        "<134>Nov 20 23:06:18 fw1 app[1]: ",
    ],
)
def test_a_syslog_header_before_it(events, header: str, message: str) -> None:
    name = message[:4].rstrip(":").lower()
    for source in ("syslog", name, f"syslog/{name}"):
        row = events(source, [header + message])[0]
        assert row["parse_error"] is None
        assert row["src_endpoint"]["ip"] in ("10.0.0.1", "172.5.6.67")
        assert row["device"]["hostname"] in ("fw1", "192.0.2.1")
        assert row["severity_id"] in (3, 5)


def test_cef_after_a_tag_of_its_own(events) -> None:
    row = events("syslog", ["<14>Nov 20 23:06:18 fw1 CEF: 0|Fortinet|F|1|5|x|3|src=192.0.2.4"])[0]
    assert (row["parse_error"], row["src_endpoint"]["ip"]) == (None, "192.0.2.4")
    assert row["device"]["hostname"] == "fw1"


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("0", 2),
        ("3", 2),
        ("4", 3),
        ("7", 4),
        ("9", 5),
        ("10", 5),
        ("Low", 2),
        ("Very-High", 5),
        ("11", 1),
        ("Unknown", 1),
        ("", 1),
        ("-1", 1),
        ("x", 1),
    ],
)
def test_severities(events, word: str, severity: int) -> None:
    assert extension(events, "src=10.0.0.1", severity=word)["severity_id"] == severity


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("rt=1510000000123", "2017-11-06T20:26:40.123000+00:00"),
        ("start=1510000000000 rt=garbage", "2017-11-06T20:26:40+00:00"),
        ("rt=Nov 20 2026 10:00:00", "2026-11-20T10:00:00+00:00"),
        ("rt=Nov 20 2026 10:00:00.250 UTC", "2026-11-20T10:00:00.250000+00:00"),
        ("rt=2026-11-20T10:00:00.5+02:00", "2026-11-20T08:00:00.500000+00:00"),
    ],
)
def test_times(events, stamp: str, time: str) -> None:
    assert extension(events, stamp)["time_dt"].isoformat() == time


@pytest.mark.parametrize("stamp", ["Nov 20 2026 10:00:00 PST", "x" * 5000, "99999999999999999999"])
def test_times_that_cannot_be_read_are_kept(events, stamp: str) -> None:
    row = extension(events, f"rt={stamp}")
    assert row["time_dt"] == row["received"]
    assert json.loads(row["unmapped"]) == {"rt": stamp}


def test_a_request_is_http_activity(events) -> None:
    row = extension(
        events,
        "request=https://www.example.org:8443/a?b=c requestMethod=POST outcome=failure dpt=8443 "
        "requestClientApplication=curl/8 reason=denied act=block",
    )
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4002, 6, 2)
    assert row["http_request"]["url"]["hostname"] == "www.example.org"
    assert row["http_request"]["url"]["query_string"] == "b=c"
    assert row["http_request"]["user_agent"] == "curl/8"
    assert (row["status_code"], row["status_detail"]) == ("failure", "denied")


def test_a_number_that_is_none_stays(events) -> None:
    row = extension(events, "spt=http dpt=99999999999 src=10.0.0.1")
    assert json.loads(row["unmapped"]) == {"spt": "http", "dpt": "99999999999"}


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("cef", "CEF:0|V|P"),
        ("cef", "CEF:x"),
        ("cef", ""),
        ("cef", "words | and | bars"),
        ("leef", "LEEF:1.0|V|P|1"),
        ("leef", "LEEF"),
        ("leef", ""),
        ("cef", LEEF1),
        ("leef", CEF),
    ],
)
def test_what_is_none_says_so(events, source: str, line: str) -> None:
    row = events(source, [line])[0]
    assert row["class_uid"] == 0
    assert source.upper() in row["parse_error"]


@pytest.mark.parametrize("line", ["CEF:0|V|P|1|5|n|3|", "CEF:0|V|P|1|5|n|3", "LEEF:1.0|V|P|1|5|"])
def test_no_pairs_are_no_fault(events, line: str) -> None:
    row = events("syslog", [line])[0]
    assert (row["parse_error"], row["metadata"]["event_code"]) == (None, "5")
    assert row["unmapped"] is None
