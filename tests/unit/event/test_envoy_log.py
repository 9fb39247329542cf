"""The source `envoy` on lines of text: access logs and Envoy's own messages."""

from __future__ import annotations

import datetime
import json

import pytest


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


@pytest.fixture
def text(events, sample):
    return events("envoy", sample("envoy/access_text.log"))


@pytest.mark.parametrize(
    ("name", "lines"),
    [("access_text.log", 9), ("envoy-http-crawl-non_statics.log", 41), ("app.log", 4)],
)
def test_every_line_is_read(events, sample, name, lines) -> None:
    rows = events("envoy", sample(f"envoy/{name}"))
    assert len(rows) == lines
    assert [row["parse_error"] for row in rows] == [None] * lines


def test_the_default_format(text) -> None:
    row = text[0]
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4002, 6, 1)
    assert row["time_dt"] == at("2016-04-15T20:17:00.310")
    request = row["http_request"]
    assert (request["http_method"], request["url"]["path"]) == ("POST", "/api/v1/locations")
    assert request["url"]["hostname"] == "locations"
    assert (request["user_agent"], request["body_length"]) == ("nsq2http", 154)
    assert request["uid"] == "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2"
    assert row["src_endpoint"]["ip"] == "10.0.35.28"
    assert (row["duration"], row["timings"]["upstream"]) == (226, 100)
    server = row["load_balancer"]["dst_endpoint"]
    assert (server["ip"], server["port"]) == ("10.0.2.1", 80)


def test_addresses_in_brackets(text) -> None:
    row = text[1]
    assert row["http_request"]["x_forwarded_for"] == ["[2001:db8::1]:555", "fe80::2"]
    assert row["src_endpoint"]["ip"] == "fe80::2"
    assert row["http_request"]["url"]["hostname"] == "::1"
    assert row["load_balancer"]["dst_endpoint"]["ip"] == "fd00::5"
    assert row["load_balancer"]["status_detail"] == "UF,URX"
    assert (row["status_id"], row["severity_id"]) == (2, 3)


def test_istios_format(text) -> None:
    row = text[2]
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("10.244.1.5", 33210)
    assert (row["dst_endpoint"]["ip"], row["dst_endpoint"]["port"]) == ("10.96.45.67", 8080)
    backend = row["load_balancer"]["dst_endpoint"]["svc_name"]
    assert backend == "outbound|8080||order-service.production.svc.cluster.local"
    assert row["status_detail"] is None
    assert json.loads(row["unmapped"]) == {
        "route_name": "default",
        "upstream_local": "10.244.1.5:54321",
    }
    denied = text[6]
    assert denied["status_detail"].startswith("rbac_access_denied")
    assert denied["tls"]["sni"] == "outbound_.8080_._.shop.svc"
    before_mixer = text[5]
    assert before_mixer["http_response"]["code"] == 418
    assert before_mixer["src_endpoint"]["ip"] == "172.30.146.82"


def test_tcp(text) -> None:
    good, failed = text[3], text[4]
    assert (good["class_uid"], good["activity_id"], good["status_id"]) == (4001, 6, 1)
    assert (good["traffic"]["bytes_in"], good["traffic"]["bytes_out"]) == (3495, 1033)
    assert good["http_request"] is None
    assert (failed["activity_id"], failed["status_id"]) == (4, 2)
    assert failed["load_balancer"]["error_message"] == "TLS error: Secret is not supplied by SDS"


def test_a_request_that_is_none_and_one_without_an_answer(text) -> None:
    broken, left = text[7], text[8]
    assert (broken["class_uid"], broken["http_response"]["code"]) == (4002, 400)
    assert broken["http_request"]["version"] == "1.1"
    assert (left["status_id"], left["http_response"]) == (
        2,
        {**dict.fromkeys(left["http_response"]), "body_length": 0},
    )


def test_json_of_istio_gateway_contour_and_tcp(events) -> None:
    istio = {
        "start_time": "2022-10-23T22:15:39.663Z",
        "method": "GET",
        "path": "/a?b=c",
        "protocol": "HTTP/1.1",
        "response_code": 200,
        "response_flags": "-",
        "response_code_details": "via_upstream",
        "bytes_received": 3,
        "bytes_sent": "37",
        "duration": 9,
        "upstream_service_time": "8",
        "x_forwarded_for": None,
        "user_agent": "curl",
        "request_id": "r-1",
        "authority": "nginx",
        "upstream_host": "[fd00::5]:80",
        "upstream_cluster": "inbound|80||",
        "downstream_remote_address": "10.0.0.7:5",
        "requested_server_name": None,
        "route_name": "default",
        "pod_name": "web-1",
    }
    gateway = {
        "start_time": "2024-05-01T00:00:00Z",
        ":authority": "h:8443",
        "x-envoy-origin-path": "/o",
        "method": "GET",
        "response_code": 503,
        "x-envoy-upstream-service-time": None,
    }
    contour = {"@timestamp": "2024-05-01T00:00:00Z", "response_code": 404, "upstream_cluster": None}
    tcp = {
        "start_time": "2024-05-01T00:00:00Z",
        "method": None,
        "response_code": 0,
        "response_flags": "UF",
        "bytes_sent": 5,
        "upstream_cluster": "db",
    }
    rows = events("envoy", [json.dumps(one) for one in (istio, gateway, contour, tcp)])
    assert [row["parse_error"] for row in rows] == [None] * 4
    one, two, three, four = rows
    assert (one["http_request"]["uid"], one["duration"], one["timings"]["upstream"]) == (
        "r-1",
        9,
        8,
    )
    assert one["http_response"]["body_length"] == 37
    assert one["load_balancer"]["dst_endpoint"]["ip"] == "fd00::5"
    assert json.loads(one["unmapped"]) == {"pod_name": "web-1", "route_name": "default"}
    assert (two["http_request"]["url"]["path"], two["http_request"]["url"]["port"]) == ("/o", 8443)
    assert three["http_response"]["code"] == 404
    assert (four["class_uid"], four["activity_id"]) == (4001, 4)


def test_what_a_runtime_and_syslog_put_before(events, sample) -> None:
    line = sample("envoy/access_text.log")[2]
    runtime = b"2025-12-31T17:40:00.000000100+01:00 stdout F "
    rows = events("envoy", [runtime + line, b"<134>Dec  8 09:16:05 edge envoy[1]: " + line])
    assert [row["http_response"]["code"] for row in rows] == [503, 503]
    assert rows[1]["device"]["hostname"] == "edge"
    part = events("envoy", [runtime + b"[2024] not"])[0]
    assert part["class_uid"] == 0
    assert part["time_dt"] == at("2025-12-31T16:40:00")


def test_a_clients_quotes_move_nothing(events) -> None:
    head = "[2024-01-01T00:00:00.000Z] "
    lines = [
        head + '"GET /" 200 - 0 0 0 0 "x HTTP/1.1" 404 NR 0 5 3 - "-" "a" "r" "h" "-"',
        head + '"GET /a HTTP/1.1" 404 NR 0 5 3 - "-" "a HTTP/1.1" 200 - 1 1 1 1 "b" "r" "h" "-"',
        head + '"GET /a HTTP/1.1" 404 NR 0 5 3 - "-" "cut he',
        head + '"GET /a HT',
    ]
    path, agent, cut, early = events("envoy", lines)
    assert all(row["parse_error"] for row in (path, agent, cut, early))
    assert path["http_response"] is None or path["http_response"]["code"] == 404
    assert agent["http_response"] is None
    assert cut["http_response"]["code"] == 404
    assert cut["http_request"]["user_agent"] is None
    assert early["http_request"]["http_method"] == "GET"
    assert early["http_response"] is None


def test_acts_on_the_administration_interface(events) -> None:
    line = (
        '[2024-01-01T00:00:00.000Z] "POST /runtime_modify?edge.drain=1 HTTP/1.1" 200 - 0 3 0 - '
        '"127.0.0.1" "curl" "-" "localhost:9901" "-"'
    )
    through = line.replace('"-"\n', "").rsplit(' "-"', 1)[0] + ' "10.0.0.1:80"'
    act, request = events("envoy", [line, through])
    assert (act["class_uid"], act["activity_id"]) == (6003, 3)
    assert (act["resources"][0]["type"], act["resources"][0]["name"]) == ("runtime", "edge.drain")
    assert act["api"]["operation"] == "POST /runtime_modify"
    assert request["class_uid"] == 4002


def test_own_messages(events, sample) -> None:
    rows = events("envoy", sample("envoy/app.log"))
    assert {row["class_uid"] for row in rows} == {6002}
    assert [row["activity_id"] for row in rows] == [3, 8, 99, 4]
    assert rows[0]["time_dt"] == at("2026-11-20T23:08:16.123")
    assert json.loads(rows[0]["unmapped"])["place"] == "source/server/server.cc:975"
    assert (rows[3]["severity_id"], rows[3]["message"]) == (4, "caught SIGTERM, shutting down")


def test_an_envelope_knows_envoy_by_its_shape(events, sample) -> None:
    for line in (sample("envoy/access_text.log")[2], b'{"response_flags":"-","response_code":200}'):
        row = events("syslog", [b"<134>Dec  8 09:16:05 edge app: " + line])[0]
        assert row["metadata"]["product"]["name"] == "Envoy"


def test_istios_first_format_says_nothing_of_a_failure(events) -> None:
    line = (
        '[2019-03-06T09:31:27.360Z] "GET /a HTTP/1.1" 418 - "-" 0 135 5 2 "-" "curl/7.60.0" "id-1" '
        '"web:8000" "127.0.0.1:80" inbound|8000|http|web.default.svc.cluster.local - '
        "172.30.146.73:80 172.30.146.82:38618 outbound_.8000_._.web.default.svc.cluster.local"
    )
    row = events("envoy", [line])[0]
    assert row["parse_error"] is None
    assert row["src_endpoint"]["ip"] == "172.30.146.82"
    assert (row["http_response"]["code"], row["http_response"]["body_length"]) == (418, 135)
    assert (row["duration"], row["timings"]["upstream"]) == (5, 2)
    assert row["load_balancer"]["error_message"] is None
