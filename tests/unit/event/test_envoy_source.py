"""The source `envoy`: entries of Envoy's access log service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "data" / "envoy"


def raw(name: str) -> bytes:
    return (DATA / name).read_bytes()


def message(**common: Any) -> dict[str, Any]:
    entry = {"commonProperties": common, "request": {}, "response": {}}
    return {"identifier": {"logName": "x"}, "httpLogs": {"logEntry": [entry]}}


@pytest.mark.parametrize("file", ["http.bin", "http.json"])
def test_an_http_entry_in_full(events, file: str) -> None:
    row = events("envoy", [raw(file)])[0]
    assert row["parse_error"] is None
    assert (row["class_uid"], row["activity_id"]) == (4002, 3)
    assert (row["status_id"], row["severity_id"], row["status_code"]) == (2, 3, "503")
    assert row["status_detail"] == "upstream_reset_before_response_started{connection_failure}"
    assert row["time_dt"].isoformat() == "2026-11-20T23:06:18.734001+00:00"
    assert row["duration"] == 14
    assert row["metadata"]["product"]["name"] == "Envoy"
    assert row["metadata"]["correlation_uid"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert row["device"]["name"] == "edge-1"
    assert row["message"] == "GET /a?b=c HTTP/2.0"
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("10.0.0.9", 5123)
    assert (row["dst_endpoint"]["ip"], row["dst_endpoint"]["port"]) == ("2001:db8::1", 443)
    request = row["http_request"]
    assert request["url"] == {
        "url_string": "/a?b=c",
        "scheme": "https",
        "hostname": "www.example.org",
        "port": 8443,
        "path": "/a",
        "query_string": "b=c",
    }
    assert (request["http_method"], request["version"], request["uid"]) == ("GET", "2.0", "id-1")
    assert (request["user_agent"], request["referrer"]) == ("curl", "r")
    assert request["x_forwarded_for"] == ["192.0.2.1", "192.0.2.2"]
    assert (request["length"], request["body_length"]) == (120, 20)
    response = row["http_response"]
    assert (response["code"], response["length"], response["body_length"]) == (503, 110, 60)
    assert response["content_type"] == "text/plain"
    assert (row["traffic"]["bytes_in"], row["traffic"]["bytes_out"]) == (900, 300)
    assert row["tls"]["version"] == "TLSv1.3"
    assert row["tls"]["cipher"] == "TLS_AES_128_GCM_SHA256"
    assert row["tls"]["sni"] == "www.example.org"
    assert row["tls"]["certificate"]["subject"] == "CN=a"
    assert row["tls"]["certificate"]["issuer"] == "CN=ca"
    balancer = row["load_balancer"]
    assert (balancer["status_detail"], balancer["error_message"]) == ("UF,UAEX,URX", "TLS error")
    assert balancer["dst_endpoint"]["ip"] == "10.1.0.1"
    assert balancer["dst_endpoint"]["svc_name"] == "api"
    timings = {name: value for name, value in row["timings"].items() if value is not None}
    assert timings == {"request": 1, "response": 7, "upstream": 10}
    assert row["load"]["retries"] == 2
    rest = json.loads(row["unmapped"])
    assert rest["customTags"] == {"k": "v", "k2": "é"}
    assert rest["responseFlags"] == {"unauthorizedDetails": {"reason": "EXTERNAL_SERVICE"}}
    assert rest["tlsProperties"]["ja3Fingerprint"] == "abc"
    assert rest["identifier"]["node"]["cluster"] == "front"


def test_a_tcp_entry(events) -> None:
    row = events("envoy", [raw("tcp.bin")])[0]
    assert row["parse_error"] is None
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4001, 2, 1)
    assert row["message"] == "TCP to db"
    assert row["duration"] == 2500
    assert row["traffic"]["bytes_out"] == 10
    assert row["load_balancer"]["dst_endpoint"]["svc_name"] == "db"
    # More than a column can hold is no number at all.
    assert row["traffic"]["bytes_in"] is None
    assert json.loads(row["unmapped"])["connection"] == {"sentBytes": "18446744073709551615"}


def test_a_message_that_only_names_the_stream_is_no_fault(events) -> None:
    row = events("envoy", [raw("node.bin")])[0]
    assert (row["parse_error"], row["class_uid"]) == (None, 0)
    assert row["message"] == "the access log stream of edge-1"
    assert row["device"]["name"] == "edge-1"
    identifier = json.loads(row["unmapped"])["identifier"]
    assert identifier["node"]["extensions"][0]["typeUrls"] == ["a", "b"]


@pytest.mark.parametrize(
    ("flags", "short", "status"),
    [
        ({}, None, 0),
        ({"noRouteFound": True, "downstreamConnectionTermination": True}, "NR,DC", 2),
        ({"delayInjected": True}, "DI", 0),
        ({"responseFromCacheFilter": True, "new": True}, "RFCF", 0),
    ],
)
def test_response_flags_without_an_answer(events, flags, short, status) -> None:
    row = events("envoy", [json.dumps(message(responseFlags=flags))])[0]
    assert row["status_id"] == status
    assert row["status_code"] is None
    assert (row["load_balancer"] or {"status_detail": None})["status_detail"] == short


@pytest.mark.parametrize(
    ("kind", "activity"),
    [
        ("TcpUpstreamConnected", 1),
        ("TcpConnectionEnd", 2),
        ("TcpPeriodic", 6),
        (None, 6),
        ([], 6),
    ],
)
def test_activities_of_connections(events, kind, activity) -> None:
    entry = {"commonProperties": {"accessLogType": kind}}
    row = events("envoy", [json.dumps({"tcpLogs": {"logEntry": [entry]}})])[0]
    assert (row["class_uid"], row["activity_id"]) == (4001, activity)


def test_pipes_and_names_of_ciphers(events) -> None:
    given = message(
        downstreamRemoteAddress={"pipe": {"path": "@envoy"}},
        upstreamRemoteAddress={"pipe": {"path": "/run/app"}},
        tlsProperties={"tlsCipherSuite": 4660, "tlsVersion": "TLSv1_2"},
    )
    row = events("envoy", [json.dumps(given)])[0]
    assert row["src_endpoint"]["name"] == "unix:@envoy"
    assert row["load_balancer"]["dst_endpoint"]["name"] == "unix:/run/app"
    assert (row["tls"]["version"], row["tls"]["cipher"]) == ("TLSv1.2", "0x1234")


@pytest.mark.parametrize("bad", [b"", b"{}", b"[]", b"\xff", b"words", b'{"httpLogs":{}}'])
def test_what_is_no_entry_says_so(events, bad: bytes) -> None:
    row = events("envoy", [bad])[0]
    assert "Envoy" in row["parse_error"]
    assert row["raw_data"] == bad.decode("utf-8", "backslashreplace")


COMMON = ["downstreamRemoteAddress", "tlsProperties", "startTime", "duration", "responseFlags"]
COMMON += ["upstreamCluster", "upstreamRequestAttemptCount", "downstreamWireBytesSent"]


@pytest.mark.parametrize(
    "member", [1, "x", None, [], {}, [[]], {"a": "b"}, -1, True, 2**64, "-5s", "9" * 40 + "s"]
)
@pytest.mark.parametrize("name", COMMON)
def test_members_of_any_kind_are_no_harm(events, name: str, member: object) -> None:
    row = events("envoy", [json.dumps(message(**{name: member}))])[0]
    assert (row["parse_error"], row["class_uid"]) == (None, 4002)


@pytest.mark.parametrize("member", [1, "x", None, [], {}, [[]], {"a": "b"}, -1, True])
@pytest.mark.parametrize("name", ["requestMethod", "path", "authority", "port", "requestHeaders"])
def test_requests_of_any_kind_are_no_harm(events, name: str, member: object) -> None:
    given = message()
    given["httpLogs"]["logEntry"][0] |= {"request": {name: member}, "response": member}
    row = events("envoy", [json.dumps(given)])[0]
    assert (row["parse_error"], row["class_uid"]) == (None, 4002)
