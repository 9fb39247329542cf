"""The source `traefik`: access logs of a real Traefik, its own messages, hostile lines."""

from __future__ import annotations

import datetime
import json

import pytest


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def by_text(rows, text):
    return next(row for row in rows if text in row["raw_data"])


@pytest.mark.parametrize(
    ("name", "lines"), [("traefik_clf.log", 7), ("traefik_json.log", 7), ("own.log", 10)]
)
def test_every_line_is_read(events, sample, name, lines) -> None:
    rows = events("traefik", sample(f"traefik/{name}"))
    assert len(rows) == lines
    assert [row["parse_error"] for row in rows] == [None] * lines
    assert {row["class_uid"] for row in rows} <= {4002, 6002}


def test_the_common_log_format(events, sample) -> None:
    rows = events("traefik", sample("traefik/traefik_clf.log"))
    row = rows[3]
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4002, 3, 1)
    assert row["time_dt"] == at("2021-12-08T13:59:39")
    assert row["src_endpoint"]["ip"] == "172.17.0.1"
    assert row["message"] == "GET /index?toto=tata HTTP/1.1"
    request = row["http_request"]
    assert (request["url"]["path"], request["url"]["query_string"]) == ("/index", "toto=tata")
    assert (request["user_agent"], request["referrer"]) == ("Nikto", None)
    assert (row["http_response"]["code"], row["http_response"]["body_length"]) == (200, 352)
    assert row["duration"] == 1
    balancer = row["load_balancer"]
    assert balancer["name"] == "test@docker"
    assert (balancer["dst_endpoint"]["ip"], balancer["dst_endpoint"]["port"]) == ("172.17.0.3", 80)
    assert json.loads(row["unmapped"]) == {"RequestCount": 242}
    assert row["metadata"]["product"]["name"] == "Traefik"


def test_a_request_that_nobody_answered_and_a_chain_of_routers(events, sample) -> None:
    rows = events("traefik", sample("traefik/traefik_clf.log"))
    assert (rows[4]["http_response"], rows[4]["status_id"]) == (None, 0)
    assert rows[4]["load_balancer"] is None
    assert rows[6]["load_balancer"]["name"] == "leaf@docker"
    chain = json.loads(rows[6]["unmapped"])["RouterName"]
    assert chain == "root@docker -> intermediate1@docker -> intermediate2@docker -> leaf@docker"


def test_the_generic_format_has_no_router(events) -> None:
    line = (
        "2001:db8::7 - alice [08/Dec/2021:09:16:05 +0100] "
        '"POST /a HTTP/2.0" 500 12 "https://r/" "curl"'
    )
    row = events("traefik", [line])[0]
    assert row["parse_error"] is None
    assert row["src_endpoint"]["ip"] == "2001:db8::7"
    assert row["actor"]["user"]["name"] == "alice"
    assert row["time_dt"] == at("2021-12-08T08:16:05")
    assert row["http_request"]["referrer"] == "https://r/"
    assert (row["status_id"], row["severity_id"]) == (2, 3)


def test_json(events, sample) -> None:
    row = events("traefik", sample("traefik/traefik_json.log"))[2]
    assert row["time_dt"] == at("2026-01-08T14:19:15.980170")
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("192.168.65.1", 29366)
    assert row["duration"] == 2  # 2,001,375 ns
    assert row["timings"]["upstream"] == 1
    assert row["load"]["retries"] == 0
    url = row["http_request"]["url"]
    assert (url["scheme"], url["hostname"], url["path"]) == ("http", "whoami.localhost", "/")
    balancer = row["load_balancer"]
    assert (balancer["name"], balancer["code"]) == ("leaf@file", 200)
    assert balancer["dst_endpoint"]["svc_name"] == "whoami@file"
    assert (balancer["dst_endpoint"]["name"], balancer["dst_endpoint"]["port"]) == ("whoami", 80)


def test_headers_tls_and_who_was_forwarded_for(events, sample) -> None:
    rows = events("traefik", sample("traefik/traefik_json.log"))
    assert rows[0]["http_request"]["user_agent"] == "Nikto"
    assert rows[0]["http_response"]["content_type"] == "text/plain; charset=utf-8"
    assert rows[4]["tls"]["cipher"] == "TLS_AES_128_GCM_SHA256"
    assert rows[4]["load_balancer"] is None or rows[4]["load_balancer"]["name"] is None
    forwarded = rows[6]
    assert forwarded["src_endpoint"]["ip"] == "172.71.122.85"
    assert forwarded["http_request"]["x_forwarded_for"] == ["192.168.1.100", "10.0.0.50"]


def test_one_trusted_address_is_the_client_and_the_port_is_the_peers(events) -> None:
    line = {"ClientAddr": "10.0.0.1:80", "ClientHost": "192.0.2.7", "ClientPort": "80"}
    row = events("traefik", [json.dumps(line | {"RequestMethod": "GET"})])[0]
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("192.0.2.7", None)


def test_a_json_line_that_is_cut_keeps_what_was_whole(events, sample) -> None:
    line = sample("traefik/traefik_json.log")[0]
    row = events("traefik", [line[: line.index(b'"RetryAttempts"')]])[0]
    assert row["parse_error"].startswith("not valid JSON")
    assert row["http_response"]["code"] == 200
    assert json.loads(row["unmapped"])["truncated"] is True


def test_requests_to_the_api_are_api_activity(events) -> None:
    lines = [
        "10.0.0.9 - admin [08/Dec/2021:09:16:05 +0000] "
        '"PUT /api/providers/rest HTTP/1.1" 200 5 "-" "curl" 1 "rest@internal" "-" 0ms',
        json.dumps(
            {
                "RouterName": "dashboard@docker",
                "ServiceName": "api@internal",
                "RequestMethod": "GET",
                "RequestPath": "/api/http/routers/web@docker",
                "DownstreamStatus": 200,
                "ClientHost": "10.0.0.9",
            }
        ),
        "10.0.0.9 - - [08/Dec/2021:09:16:05 +0000] "
        '"GET /api/http/routers HTTP/1.1" 200 5 "-" "curl" 1 "app@docker" "http://10.0.0.1:80" 0ms',
    ]
    put, get, other = events("traefik", lines)
    assert (put["class_uid"], put["activity_id"], put["status_id"]) == (6003, 3, 1)
    assert put["actor"]["user"]["name"] == "admin"
    assert put["src_endpoint"]["ip"] == "10.0.0.9"
    assert put["resources"][0]["name"] == "rest"
    assert put["api"]["operation"] == "PUT /api/providers/rest"
    assert (get["class_uid"], get["activity_id"]) == (6003, 2)
    assert (get["resources"][0]["type"], get["resources"][0]["name"]) == ("router", "web@docker")
    assert (other["class_uid"], other["api"]) == (4002, None)


def test_what_a_client_writes_is_not_taken_for_traefiks_words(events) -> None:
    tail = '7 "web@docker" "http://10.0.0.1:80" 3ms'
    head = "10.0.0.9 - - [08/Dec/2021:09:16:05 +0000] "
    lines = [
        head + '"GET /?a=" 200 1 "x HTTP/1.1" 404 19 "-" "curl" ' + tail,
        head + '"GET /a HTTP/1.1" 404 19 "-" "x HTTP/1.1" 200 5 "y" "z" ' + tail,
        head + '"GET /a HTTP/1.1" 404 19 "-" "he said "hi"" ' + tail,
    ]
    query, agent, quotes = events("traefik", lines)
    assert query["http_response"]["code"] == 404
    assert query["http_request"]["url"]["query_string"] == 'a=" 200 1 "x'
    assert agent["http_response"] is None
    assert "client's own words" in agent["parse_error"]
    assert agent["load_balancer"]["name"] == "web@docker"
    assert quotes["http_request"]["user_agent"] == 'he said "hi"'


def test_own_messages(events, sample) -> None:
    rows = events("traefik", sample("traefik/own.log"))
    assert {row["class_uid"] for row in rows} == {6002}
    start, received, failed = rows[:3]
    assert (start["activity_id"], start["severity_id"]) == (3, 1)
    assert received["activity_id"] == 8
    assert received["message"].endswith('{"http":{"routers":{}}}')
    assert failed["time_dt"] == at("2019-04-24T07:44:04")
    assert (failed["severity_id"], failed["status_id"]) == (4, 2)
    assert json.loads(failed["unmapped"])["routerName"] == "web@docker"
    console = by_text(rows, "DBG github.com")
    assert json.loads(console["unmapped"])["caller"].endswith("configurationwatcher.go:227")
    assert by_text(rows, '"msg"')["message"] == "Provider connection error"


def test_colours_a_syslog_header_and_what_is_no_line_of_traefik(events) -> None:
    lines = [
        "\x1b[90m2024-04-09T06:49:32Z\x1b[0m \x1b[32mINF\x1b[0m Starting provider",
        "<134>Dec  8 09:16:05 edge traefik[1]: 10.0.0.9 - - [08/Dec/2021:09:16:05 +0000] "
        '"GET / HTTP/1.1" 200 5 "-" "-" 1 "a@b" "-" 0ms',
        "hello",
        "{}",
    ]
    colours, syslog, word, empty = events("traefik", lines)
    assert (colours["message"], colours["class_uid"]) == ("Starting provider", 6002)
    assert syslog["device"]["hostname"] == "edge"
    assert syslog["http_response"]["code"] == 200
    assert (word["class_uid"], empty["class_uid"]) == (0, 0)
    assert word["parse_error"]
    assert empty["parse_error"]


def test_an_envelope_knows_traefik_by_its_shape_and_its_name(events, sample) -> None:
    for line in (sample("traefik/traefik_clf.log")[0], sample("traefik/traefik_json.log")[0]):
        row = events("syslog", [b"<134>Dec  8 09:16:05 edge app: " + line])[0]
        assert row["metadata"]["product"]["name"] == "Traefik"
    named = events("syslog", ["<134>Dec  8 09:16:05 edge traefik: 2024-04-09T06:49:32Z INF x"])[0]
    assert (named["class_uid"], named["message"]) == (6002, "x")


def test_before_1_7_an_absent_referer_has_no_quotes(events) -> None:
    line = (
        '192.0.2.7 - - [28/Feb/2018:17:30:33 +0000] "GET /en/ HTTP/2.0" 200 2814 - '
        '"Mozilla/5.0 (X11)" 13 "Host-a-0" "http://172.19.0.6:14008" 247ms'
    )
    row = events("traefik", [line])[0]
    assert row["parse_error"] is None
    assert (row["http_response"]["code"], row["http_response"]["body_length"]) == (200, 2814)
    assert row["http_request"]["user_agent"] == "Mozilla/5.0 (X11)"
    assert row["http_request"]["referrer"] is None
