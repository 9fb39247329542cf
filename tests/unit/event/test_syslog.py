"""The source `syslog`: headers of both RFCs, and whose line it is."""

from __future__ import annotations

import datetime
import json

import pytest


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("file", "product"),
    [
        ("haproxy/udp_rfc3164_len8192.log", "HAProxy"),
        ("haproxy/udp_rfc5424_len8192.log", "HAProxy"),
        ("haproxy/hostile_headers/udp_rfc5424_len8192.log", "HAProxy"),
        ("nginx/syslog_access_combined.log", "NGINX"),
        ("nginx/syslog_access_json_nohostname.log", "NGINX"),
    ],
)
def test_lines_find_their_parser_by_the_tag(events, sample, file, product) -> None:
    lines = sample(file)
    rows = events("syslog", lines)
    direct = events(product.lower(), lines)
    drop = {"source"}
    assert [{k: v for k, v in r.items() if k not in drop} for r in rows] == [
        {k: v for k, v in r.items() if k not in drop} for r in direct
    ]
    assert all(row["metadata"]["product"]["name"] == product for row in rows)


HTTP = (
    "10.0.0.9:1 [20/Nov/2026:23:06:18.734] fe be/s1 1/2/3/4/10 200 9 - - ---- 1/1/0/0/0 0/0 "
    '"GET /a HTTP/1.1"'
)


@pytest.mark.parametrize(
    "header",
    [
        "<134>Nov 20 23:06:18 lb1 haproxy[14740]: ",
        "<134>Nov 20 23:06:18 haproxy[14740]: ",
        "<134>Nov 20 23:06:18  haproxy[14740]: ",
        "<134>Nov  2 23:06:18 2001:db8::1 haproxy: ",
        "Nov 20 23:06:18 lb1 haproxy[14740]: ",
        "2026-11-20T23:06:18.123456+00:00 lb1 haproxy[14740]: ",
        "<134>1 2026-11-20T23:06:18Z lb1 haproxy 14740 - - ",
        '<134>1 - - haproxy - - [a@1 b="c \\" ] d"][e@2] ',
        "<134>1 2026-11-20T23:06:18+05:30 lb1 haproxy 1 m - \ufeff",
        "<134>Nov 20 23:06:18 lb1 other: ",
        "",
    ],
)
def test_headers_of_every_kind(events, header) -> None:
    row = events("syslog", [header + HTTP])[0]
    assert row["parse_error"] is None
    assert row["class_uid"] == 4002
    assert row["http_request"]["url"]["path"] == "/a"
    assert row["time_dt"] == at("2026-11-20T23:06:18.734")


def test_a_header_fills_what_the_body_does_not_say(events) -> None:
    row = events("syslog", ["<131>1 2026-11-20T23:06:18.5+05:30 lb1 cron 7 ID47 - job failed"])[0]
    assert row["class_uid"] == 0
    assert row["parse_error"] is None
    assert row["message"] == "job failed"
    assert row["severity_id"] == 4
    assert row["time_dt"] == at("2026-11-20T17:36:18.500")
    assert row["device"]["hostname"] == "lb1"


def test_structured_data_is_kept(events, sample) -> None:
    rows = events("syslog", sample("haproxy/udp_rfc5424_len8192.log"))
    data = [
        json.loads(r["unmapped"])["structured_data"] for r in rows if "lbaudit" in r["raw_data"]
    ]
    assert data[0].startswith('[lbaudit@32473 fe="sd-in" be="web"')
    assert len(data) == 14


@pytest.mark.parametrize(
    ("stamp", "received", "expected"),
    [
        ("Nov 20 23:06:18", "2026-11-20T23:06:30Z", "2026-11-20T23:06:18"),
        ("Dec 31 23:59:59", "2027-01-01T00:00:01Z", "2026-12-31T23:59:59"),
        ("Jan  1 00:00:01", "2026-12-31T23:59:59Z", "2027-01-01T00:00:01"),
        ("Feb 29 12:00:00", "2028-03-01T00:00:00Z", "2028-02-29T12:00:00"),
    ],
)
def test_a_stamp_without_year_takes_the_nearest(stamp, received, expected) -> None:
    from muniment.event.decode import decode

    raw = f'{{"at":"{received}","as":"syslog"}}\n<13>{stamp} h app: hello'.encode()
    assert decode([raw], log="l", shard="s", first=0)["time_dt"].to_pylist() == [at(expected)]


def test_a_stamp_that_is_no_date_is_not_used(events) -> None:
    row = events("syslog", ["<13>Feb 30 12:00:00 h app: hello"])[0]
    assert row["time_dt"] == row["received"]
    assert row["message"] == "hello"


@pytest.mark.parametrize(
    ("body", "class_uid"),
    [
        ('{"action":"login","actor":"eve"}', 3002),
        ("Connect from 10.0.0.1:4 to 10.0.0.2:80 (fe/TCP)", 4001),
        ('10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET / HTTP/1.1" 200 5 "-" "-"', 4002),
        ("2026/11/20 23:08:15 [notice] 1#1: nginx/1.22.1", 6002),
        ("just words: and more", 0),
        ("", 0),
    ],
)
def test_an_unknown_tag_leaves_it_to_the_shape(events, body, class_uid) -> None:
    row = events("syslog", [f"<14>Nov 20 23:06:18 h something[1]: {body}"])[0]
    assert row["class_uid"] == class_uid
    assert row["parse_error"] is None
    if class_uid == 0:
        assert row["message"] == body


def test_a_line_without_any_header_is_a_message(events) -> None:
    row = events("syslog", ["what is this"])[0]
    assert (row["message"], row["parse_error"]) == ("what is this", None)


def test_a_tag_that_claims_haproxy_for_something_else_is_flagged(events) -> None:
    row = events("syslog", ["<14>Nov 20 23:06:18 h haproxy[1]: gibberish"])[0]
    assert row["class_uid"] == 0
    assert "HAProxy" in row["parse_error"]
