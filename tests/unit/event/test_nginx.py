"""The source `nginx`, on what a real NGINX wrote, hostile requests included."""

from __future__ import annotations

import datetime
import json

import pytest


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


AGENT = 'Mozilla/5.0 (X11) "quoted" \\back é\\xff\tTab'


@pytest.mark.parametrize(
    ("name", "lines", "unread"),
    [
        ("access_combined.log", 40, 0),
        ("access_upstreaminfo.log", 40, 0),
        ("access_json_escape_json.log", 40, 0),
        ("access_json_default_escape_INVALID.log", 40, 0),
        ("access_tls.log", 40, 0),
        ("syslog_access_combined.log", 40, 0),
        ("syslog_access_json_nohostname.log", 40, 0),
        # Five lines are the parts of one message with line ends in it: NGINX escapes none.
        ("error.log", 51, 5),
        ("syslog_error.log", 51, 5),
        # With escape=none no field can be told from another.
        ("access_escape_none.log", 40, 40),
    ],
)
def test_every_line_that_nginx_wrote_is_read(events, sample, name, lines, unread) -> None:
    rows = events("nginx", sample(f"nginx/{name}"))
    assert len(rows) == lines
    assert sum(row["parse_error"] is not None for row in rows) == unread
    assert sum(row["class_uid"] == 0 for row in rows) == unread


@pytest.fixture
def combined(events, sample):
    return events("nginx", sample("nginx/access_combined.log"))


def test_the_combined_format(combined) -> None:
    row = combined[0]
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4002, 3, 1)
    assert row["time_dt"] == at("2026-11-20T23:08:16")
    assert row["src_endpoint"]["ip"] == "127.0.0.1"
    assert row["src_endpoint"]["port"] is None
    assert row["actor"] is None
    request = row["http_request"]
    assert request["http_method"] == "GET"
    assert request["version"] == "1.1"
    assert request["url"]["path"] == "/index.html"
    assert request["url"]["query_string"] == "a=1"
    assert request["referrer"] == 'http://r/"x"'
    assert request["user_agent"] == AGENT
    assert row["http_response"]["code"] == 200
    assert row["http_response"]["body_length"] == 5
    assert row["metadata"]["product"]["name"] == "NGINX"
    assert row["unmapped"] is None


def by_text(rows, text):
    return next(row for row in rows if text in row["raw_data"])


def test_a_user_may_hold_spaces_and_quotes(combined) -> None:
    assert by_text(combined, "- alice [")["actor"]["user"]["name"] == "alice"
    assert by_text(combined, "- bob ")["actor"]["user"]["name"] == 'bob "x" y'


def test_a_user_cannot_pose_as_the_time_and_the_request(events) -> None:
    line = (
        "10.0.0.1 - x [01/Jan/2001:00:00:00 +0000] [20/Nov/2026:23:08:18 +0000] "
        '"GET /real HTTP/1.1" 200 5 "-" "-"'
    )
    row = events("nginx", [line])[0]
    assert row["time_dt"] == at("2026-11-20T23:08:18")
    assert row["actor"]["user"]["name"] == "x [01/Jan/2001:00:00:00 +0000]"


def test_requests_that_are_none(combined) -> None:
    hello = by_text(combined, "\\x16\\x03\\x01")
    assert hello["http_request"] is None
    assert hello["message"].startswith("\x16\x03\x01\x02\x00")
    assert hello["http_response"]["code"] == 400
    assert by_text(combined, "FOO BAR BAZ")["http_request"] is None


def test_a_target_may_hold_spaces_and_bytes_of_any_kind(combined) -> None:
    def path(text: str) -> str:
        return by_text(combined, text)["http_request"]["url"]["path"]

    assert path("GET /spaces in uri") == "/spaces in uri"
    assert path("GET /q\\x22uote") == '/q"uote\\back'
    assert path("GET /utf8/") == "/utf8/é\\xff"
    assert path("GET /ctl") == "/ctl\x1b[31m"
    assert path("GET /pct%20") == "/pct%20%22%5c"


def test_http_09_has_no_version_and_414_no_end(combined) -> None:
    old = by_text(combined, "/http09")
    assert old["http_request"]["url"]["path"] == "/http09"
    assert old["http_request"]["version"] is None
    long = by_text(combined, "/toolong")
    assert long["http_request"]["url"]["path"] == "/toolong"
    assert long["http_request"]["url"]["query_string"] is None
    assert json.loads(long["unmapped"]) == {"truncated": True}


def test_clients_of_every_kind(combined) -> None:
    assert by_text(combined, "/v6client")["src_endpoint"]["ip"] == "::1"
    unix = by_text(combined, "unix: - -")["src_endpoint"]
    assert (unix["ip"], unix["name"]) == (None, "unix:")


def test_methods_that_ocsf_does_not_number(combined) -> None:
    row = by_text(combined, "PROPFIND")
    assert row["activity_id"] == 99
    assert row["http_request"]["http_method"] == "PROPFIND"


@pytest.fixture
def upstream(events, sample):
    return events("nginx", sample("nginx/access_upstreaminfo.log"))


def test_the_ingress_format(upstream) -> None:
    row = upstream[1]
    assert row["http_request"]["uid"] == "f9bb0e961fe16d85fab59c316844d1ae"
    assert row["http_request"]["length"] == row["traffic"]["bytes_out"] == 139
    assert row["duration"] == 1
    target = row["load_balancer"]["dst_endpoint"]
    assert (target["ip"], target["port"]) == ("127.0.0.1", 28111)
    assert target["svc_name"] == "default-web-8080"
    assert row["load_balancer"]["code"] == 200
    assert row["timings"]["upstream"] == 0
    assert json.loads(row["unmapped"]) == {"alternative_backend": "default-canary-80"}


def test_every_server_that_was_tried_is_there(upstream) -> None:
    row = by_text(upstream, 'GET /slow HTTP/1.1" 504')
    tries = row["load_balancer"]["endpoint_connections"]
    assert [t["code"] for t in tries] == [504, 504]
    assert [t["network_endpoint"]["port"] for t in tries] == [28111, 28110]
    assert row["load_balancer"]["dst_endpoint"]["port"] == 28110
    assert row["timings"]["upstream"] == 1001 + 1002
    assert row["duration"] == 2003
    six = by_text(upstream, "[::1]:28199, [::1]:28112")["load_balancer"]["endpoint_connections"]
    assert [t["network_endpoint"]["ip"] for t in six] == ["::1", "::1"]


def test_an_upstream_may_be_a_name_a_socket_or_nothing(upstream) -> None:
    def target(text: str):
        return by_text(upstream, text)["load_balancer"]["dst_endpoint"]

    assert target('GET /auth HTTP/1.1" 502')["name"] == "web"
    assert target("GET /sock")["name"] == "unix:/etc/haproxy/up.sock"
    none = by_text(upstream, "GET /../../etc/passwd")["load_balancer"]
    assert none["endpoint_connections"] is None
    assert none["dst_endpoint"]["name"] is None


def test_lists_that_do_not_pair_give_no_codes(events) -> None:
    line = (
        '10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET / HTTP/1.1" 200 5 "-" "-" 150 0.001 [b] '
        "[] 10.0.0.2:80, 10.0.0.3:80 : 10.0.0.4:80 5 0.001, 0.002 : 0.003 502, 200 abc"
    )
    row = events("nginx", [line])[0]
    tries = row["load_balancer"]["endpoint_connections"]
    assert [t["network_endpoint"]["ip"] for t in tries] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert [t["code"] for t in tries] == [None, None, None]
    assert row["timings"]["upstream"] == 6


def test_json_says_what_combined_says(events, sample, combined) -> None:
    rows = events("nginx", sample("nginx/access_json_escape_json.log"))
    for one, other in zip(rows, combined, strict=True):
        assert one["http_response"] == other["http_response"]
        assert (one["http_request"] or {}).get("http_method") == (other["http_request"] or {}).get(
            "http_method"
        )
        assert one["src_endpoint"] == other["src_endpoint"]
        assert one["actor"] == other["actor"]
        assert one["unmapped"] is None
    row = rows[3]
    assert row["time_dt"] == at("2026-11-20T23:08:16.368")
    assert row["http_request"]["user_agent"] == AGENT
    assert row["http_request"]["url"]["hostname"] == "www.test.local"
    assert [t["code"] for t in row["load_balancer"]["endpoint_connections"]] == [502, 200]
    tls = by_text(rows, "TLSv1.2")
    assert tls["tls"]["version"] == "TLSv1.2"


def test_json_in_the_default_escaping_is_repaired(events, sample) -> None:
    rows = events("nginx", sample("nginx/access_json_default_escape_INVALID.log"))
    assert rows[0]["http_request"]["user_agent"] == AGENT
    assert rows[19]["http_request"]["url"]["path"] == '/q"uote\\back'


def test_a_backslash_x_that_json_escaped_itself_is_text(events) -> None:
    lines = [
        r'{"request":"GET /a\\x41 HTTP/1.1","ua":"b"}',
        b'{"request":"GET /a\\\\x41\xff HTTP/1.1","ua":"b"}',
    ]
    rows = events("nginx", lines)
    assert rows[0]["http_request"]["url"]["path"] == "/a\\x41"
    assert rows[1]["http_request"]["url"]["path"] == "/a\\x41\\xff"


def test_unknown_names_in_json_are_kept(events) -> None:
    row = events("nginx", ['{"status":"200","pod":"web-1","depth":{"a":[1]},"bytes":"much"}'])[0]
    assert row["http_response"]["code"] == 200
    assert json.loads(row["unmapped"]) == {"pod": "web-1", "depth": {"a": [1]}, "bytes": "much"}


def test_tls_variant(events, sample) -> None:
    row = by_text(events("nginx", sample("nginx/access_tls.log")), "TLSv1.2")
    assert row["tls"]["version"] == "TLSv1.2"
    assert row["tls"]["cipher"] == "ECDHE-RSA-AES256-GCM-SHA384"
    assert row["tls"]["sni"] == "test.local"
    assert row["http_response"]["code"] == 502


@pytest.fixture
def errors(events, sample):
    return events("nginx", sample("nginx/syslog_error.log"))


def test_an_error_about_a_request(errors) -> None:
    row = by_text(errors, "GET /flaky")
    assert (row["class_uid"], row["activity_id"]) == (4002, 3)
    assert (row["severity_id"], row["status_id"]) == (4, 2)
    assert row["metadata"]["log_name"] == "error"
    assert row["time_dt"] == at("2026-11-20T23:08:16")
    assert row["src_endpoint"]["ip"] == "127.0.0.1"
    assert row["http_request"]["url"]["path"] == "/flaky"
    assert row["http_request"]["url"]["hostname"] == "www.test.local"
    assert row["http_response"] is None
    assert row["load_balancer"]["name"] == "test.local"
    assert row["load_balancer"]["dst_endpoint"]["port"] == 28199
    assert row["message"].startswith("connect() failed (111: Connection refused)")


def test_errors_about_a_connection_and_about_nginx_itself(errors) -> None:
    handshake = by_text(errors, "SSL_do_handshake")
    assert (handshake["class_uid"], handshake["activity_id"]) == (4001, 4)
    closed = by_text(errors, "client closed connection")
    assert (closed["class_uid"], closed["activity_id"]) == (4001, 2)
    stop = by_text(errors, "signal 15")
    assert (stop["class_uid"], stop["activity_id"], stop["severity_id"]) == (6002, 4, 2)
    assert stop["app"]["name"] == "nginx"


def test_what_a_client_may_have_written_into_an_error_is_not_believed(events) -> None:
    head = "2026/11/20 23:08:18 [error] 1#1: *4 "
    lines = [
        head + 'user "x, client: 6.6.6.6, server: y" was not found, client: 10.0.0.1, server: s, '
        'request: "GET / HTTP/1.1"',
        head + 'no live upstreams, client: 10.0.0.1, server: s, request: "GET /a", host: "evil '
        'HTTP/1.1", host: "real"',
        head + 'no live upstreams, client: 10.0.0.1, server: s, request: "GET /a AAAAAA',
    ]
    twice, split, cut = events("nginx", lines)
    assert twice["src_endpoint"] is None
    assert split["src_endpoint"]["ip"] == cut["src_endpoint"]["ip"] == "10.0.0.1"
    assert split["http_request"] is None
    assert cut["http_request"] is None


def test_the_main_format_names_who_was_forwarded_for(events) -> None:
    base = '10.0.0.1 - - [20/Nov/2026:23:08:16 +0530] "GET / HTTP/1.1" 200 5 "-" "curl"'
    main, other = events("nginx", [f'{base} "192.0.2.1, 10.9.9.9"', f"{base} 0.003 more"])
    assert main["http_request"]["x_forwarded_for"] == ["192.0.2.1", "10.9.9.9"]
    assert main["time_dt"] == at("2026-11-20T17:38:16")
    assert main["unmapped"] is None
    assert json.loads(other["unmapped"]) == {"trailing": "0.003 more"}
    assert other["http_request"]["user_agent"] == "curl"


@pytest.mark.parametrize("line", ["", "hello", '{"a":', "{}x", '10.0.0.1 - - [x] "', "<190>"])
def test_other_lines_are_flagged_and_kept(events, line) -> None:
    row = events("nginx", [line])[0]
    assert row["class_uid"] == 0
    assert row["raw_data"] == line
    assert row["parse_error"]


def test_the_name_of_the_host_may_stand_before_the_line(events) -> None:
    rest = '- ann [20/Nov/2026:23:08:16 +0000] "GET /a?b=c HTTP/1.1" 404 612 "-" "curl/8"'
    hosts = ("www.example.com", "www.example.com:8443", "10.0.0.5:80", "[2001:db8::5]:80", "_")
    rows = events("nginx", [f"{host} 192.0.2.7 {rest}" for host in hosts])
    assert [row["parse_error"] for row in rows] == [None] * 5
    assert {row["src_endpoint"]["ip"] for row in rows} == {"192.0.2.7"}
    assert {row["actor"]["user"]["name"] for row in rows} == {"ann"}
    urls = [row["http_request"]["url"] for row in rows]
    assert [(url["hostname"], url["port"]) for url in urls] == [
        ("www.example.com", None),
        ("www.example.com", 8443),
        ("10.0.0.5", 80),
        ("2001:db8::5", 80),
        (None, None),
    ]
    assert {url["query_string"] for url in urls} == {"b=c"}
    assert {row["http_response"]["code"] for row in rows} == {404}


def test_messages_about_a_connection_that_end_without_naming_the_server(events) -> None:
    head = "2026/11/20 23:08:18 [info] 8#8: *4 "
    came, datagram, kept, reset, left, mail = events(
        "nginx",
        [
            head + "client 192.0.2.7:53044 connected to 0.0.0.0:25",
            head + "udp client 192.0.2.7:53044 connected to 0.0.0.0:53",
            head + "client 192.0.2.7 closed keepalive connection",
            head + "client 192.0.2.7 closed keepalive connection (104: Connection reset by peer)",
            head + "open socket #10 left in connection 8",
            head + 'client login failed: "bad" while in http auth state, client: 192.0.2.7 using '
            'starttls, server: 0.0.0.0:587, login: "ann"',
        ],
    )
    rows = (came, datagram, kept, reset, left, mail)
    assert [row["parse_error"] for row in rows] == [None] * 6
    assert [(row["class_uid"], row["activity_id"]) for row in rows] == [
        (4001, 1),
        (4001, 1),
        (4001, 2),
        (4001, 2),
        (6002, 99),
        (4001, 4),
    ]
    assert (came["src_endpoint"]["port"], came["dst_endpoint"]["port"]) == (53044, 25)
    assert {row["src_endpoint"]["ip"] for row in rows if row is not left} == {"192.0.2.7"}
    assert mail["load_balancer"]["name"] == "0.0.0.0:587"


def test_errors_of_stream_of_kong_and_of_lua(events) -> None:
    head = "2026/11/20 23:08:18 [error] 8#8: *4 "
    failed = head + "connect() failed (111: Connection refused) while connecting to upstream, "
    stream, kong, timer, forged = events(
        "nginx",
        [
            failed + 'client: 192.0.2.7, server: 0.0.0.0:9000, upstream: "10.0.0.2:9000", bytes '
            "from/to client:0/0, bytes from/to upstream:0/0",
            failed + 'client: 192.0.2.7, server: kong, request: "GET /a HTTP/1.1", upstream: '
            '"http://10.0.0.2:80/b", host: "web:8000", request_id: '
            '"77d7f20e3a4bd23ac72a2d32e0f9a95f"',
            head + "[kong] init.lua:553 declarative config loaded, context: ngx.timer",
            failed + 'client: 192.0.2.7, server: s, request: "GET /, context: ngx.timer',
        ],
    )
    assert (stream["class_uid"], stream["load_balancer"]["dst_endpoint"]["port"]) == (4001, 9000)
    assert kong["http_request"]["uid"] == "77d7f20e3a4bd23ac72a2d32e0f9a95f"
    assert kong["http_request"]["url"]["hostname"] == "web"
    assert kong["load_balancer"]["dst_endpoint"]["ip"] == "10.0.0.2"
    assert (timer["class_uid"], timer["parse_error"]) == (6002, None)
    assert (forged["class_uid"], forged["src_endpoint"]["ip"]) == (4002, "192.0.2.7")
