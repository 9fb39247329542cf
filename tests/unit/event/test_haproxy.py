"""The source `haproxy`, on what a real HAProxy wrote, hostile requests included."""

from __future__ import annotations

import datetime
import json

import pytest


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("name", "lines", "cut"),
    [
        ("udp_rfc3164_len8192.log", 128, 0),
        ("udp_rfc5424_len8192.log", 128, 0),
        ("udp_rfc3164_default_len1024.log", 128, 6),
        ("hostile_headers/udp_rfc3164_len8192.log", 67, 0),
        ("hostile_headers/udp_rfc5424_len8192.log", 67, 0),
        ("hostile_headers/udp_rfc3164_default_len1024.log", 67, 0),
        ("stderr.log", 13, 0),
    ],
)
def test_every_line_that_haproxy_wrote_is_read(events, sample, name, lines, cut) -> None:
    rows = events("haproxy", sample(f"haproxy/{name}"))
    assert len(rows) == lines
    assert sum(row["parse_error"] is not None for row in rows) == cut
    assert all(row["class_uid"] in (4001, 4002, 6002) for row in rows)
    assert all(row["metadata"]["product"]["name"] == "HAProxy" for row in rows)


def test_the_three_transports_of_one_run_say_the_same(events, sample) -> None:
    plain = events("haproxy", sample("haproxy/udp_rfc3164_len8192.log"))
    modern = events("haproxy", sample("haproxy/udp_rfc5424_len8192.log"))
    for one, other in zip(plain, modern, strict=True):
        same = set(one) - {"raw_data", "device", "unmapped", "time", "time_dt"}
        assert {k: one[k] for k in same} == {k: other[k] for k in same}
        assert abs(one["time_dt"] - other["time_dt"]) < datetime.timedelta(seconds=1)
    assert {row["device"]["hostname"] for row in plain} == {"localhost"}
    assert {str(row["device"]) for row in modern} == {"None"}


@pytest.fixture
def normal(events, sample):
    return events("haproxy", sample("haproxy/udp_rfc3164_len8192.log"))


def test_an_http_line_with_captures(normal) -> None:
    row = normal[0]
    assert (row["class_uid"], row["category_uid"], row["activity_id"]) == (4002, 4, 3)
    assert row["type_uid"] == 400203
    assert row["time_dt"] == at("2026-11-20T23:06:18.734")
    assert row["message"] == "GET /index.html?a=1&b=2 HTTP/1.1"
    assert row["status_id"] == 1
    assert row["status_code"] == "200"
    assert row["severity_id"] == 1
    assert row["src_endpoint"]["ip"] == "127.0.0.1"
    assert row["src_endpoint"]["port"] == 57176
    request = row["http_request"]
    assert request["http_method"] == "GET"
    assert request["version"] == "1.1"
    assert request["url"]["path"] == "/index.html"
    assert request["url"]["query_string"] == "a=1&b=2"
    assert request["url"]["url_string"] == "/index.html?a=1&b=2"
    assert row["http_response"]["code"] == 200
    assert row["http_response"]["length"] == 148
    assert row["traffic"]["bytes_in"] == 148
    balancer = row["load_balancer"]
    assert balancer["name"] == "http-in"
    assert balancer["dst_endpoint"]["svc_name"] == "web"
    assert balancer["dst_endpoint"]["name"] == "w1"
    assert balancer["status_detail"] == "----"
    assert row["status_detail"] is None
    assert row["duration"] == 0
    assert row["captures"]["request"] == [
        "www.test.local",
        "Mozilla/5.0 (X11; Linux x86_64) test/1.0",
        "",
    ]
    assert row["captures"]["response"] == ["BaseHTTP/0.6 Python/", ""]
    assert row["http_cookies"] is None
    assert json.loads(row["unmapped"]) == {"response_cookie": "sess=abc123"}
    assert row["device"]["hostname"] == "localhost"


def test_escapes_in_captures_are_undone(normal) -> None:
    assert normal[1]["captures"]["response"][1] == "https://test.local/new?x={a|b}"


def test_a_bad_request_has_a_status_but_no_request(normal) -> None:
    row = normal[3]
    assert row["class_uid"] == 4002
    assert row["activity_id"] == 0
    assert row["http_request"] is None
    assert row["http_response"]["code"] == 400
    assert row["status_id"] == 2
    assert row["message"] == "<BADREQ>"
    assert row["load_balancer"]["dst_endpoint"]["name"] is None
    assert json.loads(row["unmapped"])["server"] == "<NOSRV>"
    assert row["timings"] is None
    assert row["status_detail"] == "the proxy stopped it, waiting for the request"


def test_timers_that_were_not_reached_are_null(normal) -> None:
    row = next(r for r in normal if " dead/d1 0/605/-1/-1/605 " in r["raw_data"])
    assert row["duration"] == 605
    assert row["timings"]["request"] == 0
    assert row["timings"]["queue"] == 605
    assert row["timings"]["connect"] is None
    assert row["timings"]["response"] is None
    assert row["http_response"]["code"] == 503
    assert row["severity_id"] == 3
    assert row["load"]["retries"] == 2
    assert row["load"]["redispatched"] is False


def test_a_plus_marks_redispatch_and_early_logs(normal) -> None:
    flaky = next(r for r in normal if " flaky/f2 " in r["raw_data"])
    assert flaky["load"]["retries"] == 1
    assert flaky["load"]["redispatched"] is True
    early = next(r for r in normal if " asap web/w1 0/0/0/1/+1 200 +148 " in r["raw_data"])
    assert early["duration"] == 1
    assert early["traffic"]["bytes_in"] == 148
    assert early["http_response"]["length"] is None
    assert json.loads(early["unmapped"])["logged_early"] is True


@pytest.mark.parametrize(
    ("text", "ip", "port", "name"),
    [
        (" ::1:53444 ", "::1", 53444, None),
        (" 2001:db8::7:56324 ", "2001:db8::7", 56324, None),
        (" 203.0.113.7:56324 ", "203.0.113.7", 56324, None),
        (" unix:3 ", None, None, "unix:3"),
    ],
)
def test_clients_of_every_kind(normal, text, ip, port, name) -> None:
    row = next(r for r in normal if text in r["raw_data"])
    endpoint = row["src_endpoint"]
    assert (endpoint["ip"], endpoint["port"], endpoint["name"]) == (ip, port, name)
    assert row["http_response"]["code"] == 200


def test_tls_fields_of_the_https_format(normal) -> None:
    row = next(r for r in normal if "/tls12 " in r["raw_data"])
    assert row["tls"]["version"] == "TLSv1.2"
    assert row["tls"]["cipher"] == "ECDHE-RSA-AES256-GCM-SHA384"
    assert row["tls"]["sni"] == "test.local"
    assert row["load_balancer"]["name"] == "https-in"
    assert row["http_request"]["url"]["scheme"] == "https"
    without = next(r for r in normal if "/tls-nosni " in r["raw_data"])
    assert without["tls"]["sni"] is None
    assert without["tls"]["version"] == "TLSv1.3"


def test_http2_logs_an_absolute_target(normal) -> None:
    row = next(r for r in normal if "/h2?x=1 " in r["raw_data"])
    url = row["http_request"]["url"]
    assert url["url_string"] == "https://test.local:28443/h2?x=1"
    assert (url["scheme"], url["hostname"], url["port"]) == ("https", "test.local", 28443)
    assert (url["path"], url["query_string"]) == ("/h2", "x=1")
    assert row["http_request"]["version"] == "2.0"


def test_a_target_cut_at_logurilen_gives_only_what_is_whole(normal) -> None:
    row = next(r for r in normal if '"GET /long?A' in r["raw_data"] and " plain" in r["raw_data"])
    assert row["parse_error"] is None
    assert row["http_request"]["http_method"] == "GET"
    assert row["http_request"]["version"] is None
    assert row["http_request"]["url"]["path"] == "/long"
    assert row["http_request"]["url"]["query_string"] is None
    assert row["http_request"]["url"]["url_string"] is None
    assert json.loads(row["unmapped"])["truncated"] is True


def test_a_line_cut_at_the_length_of_a_datagram(events, sample) -> None:
    rows = events("haproxy", sample("haproxy/udp_rfc3164_default_len1024.log"))
    row = rows[8]
    assert row["raw_data"].endswith("AAA")
    assert row["parse_error"] == "the line ends before its HAProxy log format does"
    assert row["class_uid"] == 4002
    assert row["http_response"]["code"] == 200
    assert row["http_request"]["url"]["path"] == "/long"
    assert row["http_request"]["url"]["query_string"] is None
    assert row["captures"]["request"] == ["www.test.local", "long", ""]
    cut_json = rows[64]
    assert cut_json["parse_error"].startswith("not valid JSON")
    assert cut_json["http_response"]["code"] == 200
    assert cut_json["src_endpoint"]["port"] == 59650
    assert cut_json["http_request"] is None


def test_the_clf_format(normal) -> None:
    row = next(r for r in normal if '"clf" "web" "w2"' in r["raw_data"])
    assert row["time_dt"] == at("2026-11-20T23:06:20.576")
    assert row["src_endpoint"]["port"] == 41272
    assert row["http_response"]["code"] == 301
    assert row["load_balancer"]["name"] == "clf"
    assert row["load_balancer"]["dst_endpoint"]["svc_name"] == "web"
    assert row["load_balancer"]["status_detail"] == "----"
    assert row["load"]["active"] == 1


def test_a_json_log_format(normal) -> None:
    row = next(r for r in normal if '"req":"\\/redir"' in r["raw_data"])
    assert row["time_dt"] == at("2026-11-20T23:06:21.187")
    assert row["src_endpoint"]["ip"] == "127.0.0.1"
    assert row["src_endpoint"]["port"] == 59578 - 4
    assert row["http_response"]["code"] == 301
    assert row["http_request"]["url"]["path"] == "/redir"
    assert row["http_request"]["user_agent"] == "curl/7.88.1"
    assert row["http_request"]["uid"].startswith("7F000001:")
    assert row["load_balancer"]["dst_endpoint"]["name"] == "w2"
    assert row["duration"] == 1
    assert row["unmapped"] is None


def test_the_tcp_format(normal) -> None:
    good = next(r for r in normal if " tcpweb/w1 1/0/0 149 -- " in r["raw_data"])
    assert (good["class_uid"], good["activity_id"], good["status_id"]) == (4001, 2, 1)
    assert good["timings"]["queue"] == 1
    assert good["duration"] == 0
    assert good["traffic"]["bytes_in"] == 149
    dead = next(r for r in normal if " tcpdead/d1 " in r["raw_data"])
    assert (dead["activity_id"], dead["status_id"]) == (4, 2)
    assert dead["load_balancer"]["status_detail"] == "SC"
    assert dead["timings"]["connect"] is None


def test_the_default_format(normal) -> None:
    row = next(r for r in normal if "Connect from" in r["raw_data"])
    assert (row["class_uid"], row["activity_id"]) == (4001, 1)
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("127.0.0.1", 40986)
    assert (row["dst_endpoint"]["ip"], row["dst_endpoint"]["port"]) == ("127.0.0.1", 28092)
    assert row["load_balancer"]["name"] == "default-fmt"
    assert row["time_dt"] == at("2026-11-20T23:06:27")


def test_connections_that_came_to_nothing(normal) -> None:
    row = next(r for r in normal if r["raw_data"].endswith("https-in/1: SSL handshake failure"))
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4001, 4, 2)
    assert row["message"] == row["status_detail"] == "SSL handshake failure"
    assert row["load_balancer"]["name"] == "https-in"
    assert row["time_dt"] == at("2026-11-20T23:06:25.411")
    tls = next(r for r in normal if "34/000000000A000102/" in r["raw_data"])
    assert (tls["class_uid"], tls["activity_id"]) == (4001, 4)
    assert tls["tls"]["version"] == "TLSv1.2"
    assert tls["tls"]["cipher"] is None
    assert json.loads(tls["unmapped"])["tls_error"] == "34/000000000A000102/0/0/0"


@pytest.mark.parametrize(
    ("text", "activity", "severity", "app"),
    [
        ("Server web/w2 enters drain state", 7, 2, "web/w2"),
        ("Server web/w1 is going DOWN for maintenance", 7, 5, "web/w1"),
        ("backend web has no server available!", 4, 6, "web"),
        ("Server web/w1 is UP/READY (leaving forced maintenance)", 6, 2, "web/w1"),
        ("Paused frontend clf.", 7, 3, "clf"),
        ("Server web/w2 is DOWN, reason: Layer4", 4, 2, "web/w2"),
    ],
)
def test_state_changes_are_application_lifecycle(normal, text, activity, severity, app) -> None:
    row = next(r for r in normal if text in r["raw_data"])
    assert (row["class_uid"], row["activity_id"]) == (6002, activity)
    assert row["severity_id"] == severity
    assert row["app"]["name"] == app
    assert row["message"].startswith(text)


def test_one_search_finds_the_traffic_and_the_state_of_a_server(normal) -> None:
    def concerns(row) -> bool:
        endpoint = (row["load_balancer"] or {}).get("dst_endpoint") or {}
        return (endpoint.get("svc_name"), endpoint.get("name")) == ("web", "w1")

    assert {row["class_uid"] for row in normal if concerns(row)} == {4002, 6002}


@pytest.mark.parametrize(
    ("line", "activity", "severity", "app"),
    [
        ("Proxy web started.", 3, 2, "web"),
        ("Proxy http-in stopped (cumulated conns: FE: 3, BE: 0).", 4, 2, "http-in"),
        ("Stopping frontend http-in in 0 ms.", 4, 2, "http-in"),
        ("Resumed frontend http-in.", 6, 2, "http-in"),
        ("Backup Server web/b1 is DOWN, reason: Layer4 timeout.", 4, 3, "web/b1"),
        ("Health check for server web/w1 failed, reason: Layer7 wrong status", 99, 2, "web/w1"),
        ("web/w1 changed its IP from 10.0.0.1 to 10.0.0.2 by DNS cache.", 8, 2, "web/w1"),
        ("[NOTICE]   (1) : New worker (2) forked", 3, 2, "haproxy"),
        ("[NOTICE] (1) : 'server web/w3' : New server registered.", 1, 2, "web/w3"),
    ],
)
def test_state_changes_without_a_header(events, line, activity, severity, app) -> None:
    row = events("haproxy", [line])[0]
    assert row["parse_error"] is None
    assert (row["class_uid"], row["activity_id"], row["severity_id"]) == (6002, activity, severity)
    assert row["app"]["name"] == app


def test_hostile_headers_stay_in_their_fields(events, sample) -> None:
    rows = events("haproxy", sample("haproxy/hostile_headers/udp_rfc3164_len8192.log"))
    evil = rows[0]
    assert evil["captures"]["request"] == [
        "www.test.local",
        'evil"} {x|y} "GET /fake HTTP/1.1" \\ # é\\xff',
        "a|b}c{d #22",
    ]
    assert evil["http_cookies"] == [{"name": "sess", "value": "zz{}|"}]
    assert evil["http_request"]["url"]["path"] == "/hdr"
    urls = [row["http_request"]["url"] for row in rows if row["http_request"]]
    paths = [url["path"] for url in urls if url]
    assert '/quote"in' in paths
    assert "/brace{}|" in paths
    assert "/sq'uote" in paths
    assert "*" in paths
    odd = next(row for row in rows if '"FOO-BAR /x' in row["raw_data"])
    assert odd["http_request"]["http_method"] == "FOO-BAR"
    assert odd["activity_id"] == 99
    empty = next(row for row in rows if " {} " in row["raw_data"])
    assert empty["captures"]["request"] == [""]


HTTP = "10.0.0.9:5000 [20/Nov/2026:23:06:18.734] fe be/s1 1/2/3/4/10 200 99 "
FAKE = '- ---- 9/9/9/9/9 9/9 "GET /fake HTTP/1.1"'


def test_a_cookie_cannot_pose_as_the_rest_of_the_line(events) -> None:
    real = '---- 1/1/0/0/0 0/0 {h} "GET /real HTTP/1.1"'
    lines = [
        f"{HTTP}sess=a {FAKE} - {real}",
        f"{HTTP}sess=a - ---- 1/1/0/0/0 0/0 {{x - {real}",
        f"{HTTP}sess=a b - {real}",
        f"{HTTP}sess=a {FAKE} - {real} 0/0/0/0/0 x.test/TLSv1.3/AES",
    ]
    for row in events("haproxy", lines):
        assert row["http_request"]["url"]["path"] == "/real"
        assert row["load"]["active"] == 1
        assert row["captures"]["request"] == ["h"]
        assert row["http_cookies"] is None
        assert "sess=a" in json.loads(row["unmapped"])["cookies"]
        assert row["http_response"]["code"] == 200


def test_a_cookie_cannot_pose_as_the_end_of_a_line_that_was_cut(events) -> None:
    for row in events("haproxy", [f"{HTTP}sess=a {FAKE} - --", f"{HTTP}sess=a {FAKE[:-9]}"]):
        assert row["http_request"] is None
        assert row["load"] is None
        assert row["http_cookies"] is None
        assert row["http_response"]["code"] == 200


def test_fields_after_the_format_are_kept_apart(events) -> None:
    row = events("haproxy", [f'{HTTP}- - ---- 1/1/0/0/0 0/0 "GET /a HTTP/1.1" uid-77 extra'])[0]
    assert row["parse_error"] is None
    assert row["http_request"]["url"]["path"] == "/a"
    assert json.loads(row["unmapped"]) == {"trailing": "uid-77 extra"}


def test_a_stamp_without_zone_is_in_the_zone_that_is_named(events) -> None:
    line = f'{HTTP}- - ---- 1/1/0/0/0 0/0 "GET /a HTTP/1.1"'
    assert events("haproxy", [line])[0]["time_dt"] == at("2026-11-20T23:06:18.734")
    berlin = events("haproxy", [line], zone="Europe/Berlin")[0]
    assert berlin["time_dt"] == at("2026-11-20T22:06:18.734")


def test_a_date_that_is_none_falls_back_to_the_receipt(events) -> None:
    line = f'{HTTP}- - ---- 1/1/0/0/0 0/0 "GET /a HTTP/1.1"'.replace("20/Nov", "31/Nov")
    row = events("haproxy", [line])[0]
    assert row["time_dt"] == row["received"]
    assert row["http_response"]["code"] == 200


@pytest.mark.parametrize("line", ["", "hello", "10.0.0.1 - -", '"GET / HTTP/1.1"', "{", "<134>"])
def test_other_lines_are_flagged_and_kept(events, line) -> None:
    row = events("haproxy", [line])[0]
    assert row["class_uid"] == 0
    assert row["raw_data"] == line
    assert row["parse_error"]
    assert row["time_dt"] == row["received"]


def test_a_status_that_was_never_sent(events) -> None:
    line = "10.0.0.9:1 [20/Nov/2026:23:06:18.734] fe be/<NOSRV> -1/-1/-1/-1/5 -1 0 - - CR-- "
    row = events("haproxy", [line + '1/1/0/0/0 0/0 "<BADREQ>"'])[0]
    assert row["http_response"]["code"] is None
    assert row["status_code"] is None
    assert row["status_id"] == 2
    assert row["duration"] == 5
