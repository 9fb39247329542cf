"""The source `ingress-nginx`: its NGINX's logs and its controller's messages."""

from __future__ import annotations

import datetime
import json

import pytest


@pytest.fixture
def rows(events, sample):
    return events("ingress-nginx", sample("nginx/ingress_nginx.log"))


def test_every_line_is_read(rows) -> None:
    assert len(rows) == 9
    assert [row["parse_error"] for row in rows] == [None] * 9
    assert [row["class_uid"] for row in rows] == [6002] * 6 + [4001, 4002, 4002]


def test_what_nginx_reads_is_read_alike(events, sample) -> None:
    for name in ("access_upstreaminfo.log", "access_json_escape_json.log", "error.log"):
        ours = events("ingress-nginx", sample(f"nginx/{name}"))
        theirs = events("nginx", sample(f"nginx/{name}"))
        assert [{**row, "source": None, "parse_error": None} for row in ours] == [
            {**row, "source": None, "parse_error": None} for row in theirs
        ]


def test_messages_of_the_controller(rows) -> None:
    reload, found, event = rows[:3]
    assert (reload["activity_id"], reload["severity_id"]) == (8, 1)
    assert reload["message"] == "Configuration changes detected, backend reload required"
    assert reload["time_dt"] == datetime.datetime(
        2026, 11, 20, 23, 8, 16, 123456, tzinfo=datetime.UTC
    )
    named = found["resources"][0]
    assert (named["type"], named["namespace"], named["name"]) == ("Ingress", "default", "web")
    assert json.loads(found["unmapped"])["fields"] == "ingress=default/web ingressclass=nginx"
    assert event["resources"][0]["uid"] == "a-b"
    assert event["time_dt"].year == 2027  # the year nearest to the receipt


def test_the_stream_log(rows) -> None:
    row = rows[6]
    assert (row["src_endpoint"]["ip"], row["connection_info"]["protocol_name"]) == (
        "10.0.0.1",
        "tcp",
    )
    assert (row["traffic"]["bytes_in"], row["traffic"]["bytes_out"]) == (312, 140)
    assert (row["duration"], row["status_code"]) == (2, "200")


def test_older_formats_and_what_a_runtime_puts_before(rows) -> None:
    old, wrapped = rows[7], rows[8]
    assert old["actor"]["user"]["name"] == "bob"
    assert old["load_balancer"]["dst_endpoint"]["svc_name"] == "ns-svc-80"
    assert wrapped["http_request"]["uid"] == "abcd"


def test_the_documented_json_format(events) -> None:
    line = {
        "time": "2020-01-01T00:00:00+00:00",
        "remote_addr": "10.0.0.1",
        "x_forwarded_for": "10.0.0.9, 10.0.0.1",
        "request_id": "r",
        "bytes_sent": 12,
        "request_time": 0.003,
        "status": 200,
        "vhost": "h",
        "request_proto": "HTTP/1.1",
        "path": "/a",
        "request_query": "b=c",
        "request_length": 5,
        "method": "GET",
        "http_user_agent": "c",
    }
    row = events("ingress-nginx", [json.dumps(line)])[0]
    assert (row["parse_error"], row["unmapped"]) == (None, None)
    assert row["http_request"]["version"] == "1.1"
    assert row["http_request"]["url"]["query_string"] == "b=c"
    assert row["duration"] == 3


def test_what_is_no_line_of_it(events) -> None:
    row = events("ingress-nginx", ["I1320 no"])[0]
    assert (row["class_uid"], row["parse_error"] is not None) == (0, True)
