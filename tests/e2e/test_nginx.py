"""Every request that NGINX answered is an entry, field by field right, by syslog and from files."""

from __future__ import annotations

import itertools
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from .conftest import NginxEdge
from .harness.load import Exchange, ab, exchange, h2load, request
from .harness.process import Process
from .harness.rows import assert_fields, assert_time, by, pick
from .harness.server import split_entry
from .harness.waiting import wait_for

REQUESTS = 600


def rows_of(edge: NginxEdge, query: str, count: int) -> list[dict]:
    """Waits for `count` rows; more are a failure."""
    rows: list[dict] = []

    def arrived() -> bool:
        rows[:] = edge.muniment.rows(query)
        return len(rows) >= count

    wait_for(arrived, lambda: f"{count} rows of {query}, there are {len(rows)}")
    assert len(rows) == count
    return rows


@pytest.mark.parametrize("server", ["combined", "json", "upstream"])
def test_apachebench_counts_as_many_requests_as_there_are_entries(
    nginx_edge: NginxEdge, server: str
) -> None:
    path = f"/ab/{uuid.uuid4().hex}"
    done = ab(nginx_edge.nginx.url(server, path), REQUESTS)
    assert done == REQUESTS

    rows = rows_of(nginx_edge, f"path:{path} via:syslog-udp", done)

    assert {pick(row, "http_response.code") for row in rows} == {200}
    assert not any(row.get("parse_error") for row in rows)
    counted = nginx_edge.muniment.sql(
        f"SELECT count(*) FROM events WHERE http_request.url.path = '{path}'"
    )
    assert counted == [[done]]


def test_h2load_over_tls_counts_as_many_streams_as_there_are_entries(
    nginx_edge: NginxEdge,
) -> None:
    path = f"/h2/{uuid.uuid4().hex}"
    done = h2load(nginx_edge.nginx.url("secure", path), REQUESTS)
    assert done == REQUESTS

    for row in rows_of(nginx_edge, f"path:{path}", done):
        assert_fields(row, {"http_request.version": "2.0", "parse_error": None})
        assert pick(row, "tls.version").startswith("TLSv1.")


CASES = [
    (server, status, delay, size)
    for server, (status, delay, size) in itertools.product(
        ("combined", "json", "secure", "upstream"),
        [(200, 0, 0), (201, 30, 1), (301, 0, 7), (404, 60, 500), (500, 0, 70_000)],
    )
]
AGENT = 'told/1.0 (a "b" \\c é)'


def test_each_field_of_each_request_is_what_the_client_saw(nginx_edge: NginxEdge) -> None:
    token = uuid.uuid4().hex
    sent: dict[str, tuple[str, Exchange]] = {}
    for number, (server, status, delay, size) in enumerate(CASES):
        path = f"/s/{status}/{delay}/{size}/{token}/{number}"
        headers = [f"User-Agent: {AGENT}", "Referer: http://from.test/?a=b", f"X-Mark: {number}"]
        trust = nginx_edge.nginx.trust if server == "secure" else None
        raw = request(f"{path}?n={number}&q=%22", *headers)
        sent[path] = (server, exchange(nginx_edge.nginx.ports[server], raw, trust=trust))

    rows = rows_of(nginx_edge, f"path:*/{token}/*", len(CASES))

    found = by(rows, "http_request.url.path")
    for number, (path, (server, one)) in enumerate(sent.items()):
        row = found[path]
        assert one.status == CASES[number][1]
        assert_time(row, one)
        expected = {
            "class_uid": 4002,
            "via": "syslog-udp",
            "http_request.http_method": "GET",
            "http_request.version": "1.1",
            "http_request.url.query_string": f"n={number}&q=%22",
            "http_request.user_agent": AGENT,
            "http_request.referrer": "http://from.test/?a=b",
            "http_response.code": one.status,
            "http_response.body_length": CASES[number][3],
            "src_endpoint.ip": "127.0.0.1",
            "parse_error": None,
        }
        assert_fields(row, expected | of_format(nginx_edge, server, one))
        if server != "combined":
            delay = CASES[number][2]
            assert delay - 2 <= row["duration"] <= one.milliseconds + 50, (row, one)
            assert delay - 2 <= pick(row, "timings.upstream") <= one.milliseconds + 50, (row, one)


def of_format(edge: NginxEdge, server: str, one: Exchange) -> dict:
    """What only some of the formats log."""
    if server == "combined":
        return {}
    ip, _, port = edge.nginx.app.partition(":")
    fields = {
        "load_balancer.code": one.status,
        "load_balancer.dst_endpoint.ip": ip,
        "load_balancer.dst_endpoint.port": int(port),
        "traffic.bytes_out": len(one.sent),
    }
    if server != "upstream":
        fields |= {"src_endpoint.port": one.client_port, "http_request.url.hostname": "edge.test"}
    else:
        fields |= {"load_balancer.dst_endpoint.svc_name": "default-app-80"}
    if server == "secure":
        fields |= {"tls.version": one.tls_version, "tls.cipher": one.tls_cipher}
        fields |= {"tls.sni": "edge.test"}
    return fields


def test_all_servers_that_were_tried_are_in_the_order_they_were_tried(
    nginx_edge: NginxEdge,
) -> None:
    paths = [f"/flaky/{uuid.uuid4().hex}" for _ in range(4)]
    gone = f"/gone/{uuid.uuid4().hex}"
    for path in paths:
        assert exchange(nginx_edge.nginx.ports["upstream"], request(path)).status == 200
    assert exchange(nginx_edge.nginx.ports["upstream"], request(gone)).status == 502

    rows = [rows_of(nginx_edge, f"path:{path} metadata.log_name:access", 1)[0] for path in paths]

    tried = [attempts(row) for row in rows]
    app, dead = nginx_edge.nginx.app, nginx_edge.nginx.dead
    assert set(map(tuple, tried)) == {((app, 200),), ((dead, 502), (app, 200))}
    for row in rows:
        assert_fields(row, {"load_balancer.code": 200, "http_response.code": 200})
    (row,) = rows_of(nginx_edge, f"path:{gone} metadata.log_name:access", 1)
    assert attempts(row) == [(dead, 502)]
    assert_fields(row, {"load_balancer.code": 502, "http_response.code": 502, "status_id": 2})


def attempts(row: dict) -> list[tuple[str, int]]:
    found = []
    for attempt in pick(row, "load_balancer.endpoint_connections"):
        place = attempt["network_endpoint"]
        found.append((f"{place['ip']}:{place['port']}", attempt["code"]))
    return found


def test_the_error_log_names_the_request_and_the_server(nginx_edge: NginxEdge) -> None:
    path = f"/gone/{uuid.uuid4().hex}"
    exchange(nginx_edge.nginx.ports["upstream"], request(path))

    (row,) = rows_of(nginx_edge, f"path:{path} metadata.log_name:error", 1)

    ip, _, port = nginx_edge.nginx.dead.partition(":")
    assert_fields(
        row,
        {
            "class_uid": 4002,
            "severity_id": 4,
            "src_endpoint.ip": "127.0.0.1",
            "http_request.http_method": "GET",
            "http_request.url.hostname": "edge.test",
            "load_balancer.dst_endpoint.ip": ip,
            "load_balancer.dst_endpoint.port": int(port),
            "parse_error": None,
        },
    )
    assert "Connection refused" in row["message"]


def test_connections_through_the_stream_module_are_entries(nginx_edge: NginxEdge) -> None:
    sent = [exchange(nginx_edge.nginx.ports["stream"], request(f"/s/200/0/{n}")) for n in range(20)]

    for one in sent:
        text = f'"\\"remote_port\\":\\"{one.client_port}\\"" "session_time"'
        (row,) = rows_of(nginx_edge, text, 1)
        assert_fields(row, {"src_endpoint.port": one.client_port, "src_endpoint.ip": "127.0.0.1"})
        assert_time(row, one)


def test_a_file_sent_by_the_command_line_is_entry_for_entry_the_file(
    nginx_edge: NginxEdge, tmp_path: Path
) -> None:
    for number in range(50):
        exchange(nginx_edge.nginx.ports["combined"], request(f"/file/{number}"))
    lines = (nginx_edge.nginx.directory / "combined.log").read_bytes().splitlines()
    copy = tmp_path / "access.log"
    copy.write_bytes(b"".join(line + b"\n" for line in lines))
    before = nginx_edge.muniment.shard()["size"]

    for _ in range(2):  # the second run finds nothing new
        command = [sys.executable, "-m", "muniment", "send", str(copy), "--as", "nginx"]
        command += ["--url", nginx_edge.muniment.url]
        sender = Process(command, tmp_path / "send.txt", {"HOME": str(tmp_path)})
        status = wait_for(lambda s=sender: None if s.running else [s.stop()], "send to end", 60)
        assert status == [0], sender.printed()

    entries = [split_entry(entry) for entry in nginx_edge.muniment.stored(before)]
    sent = [raw for header, raw in entries if b'"via":"http"' in header]
    assert sent == lines
    nginx_edge.muniment.wait_indexed()
    rows = list(nginx_edge.muniment.rows("via:http source:nginx"))
    assert Counter(row["raw_data"] for row in rows) == Counter(line.decode() for line in lines)
    assert not [row for row in rows if row.get("parse_error")]


def test_every_datagram_that_nginx_sent_is_an_entry_byte_for_byte(nginx_edge: NginxEdge) -> None:
    path = f"/last/{uuid.uuid4().hex}"
    exchange(nginx_edge.nginx.ports["combined"], request(path))
    rows_of(nginx_edge, f"path:{path}", 1)

    entries = [split_entry(entry) for entry in nginx_edge.muniment.stored()]

    by_udp = [raw for header, raw in entries if b'"via":"syslog-udp"' in header]
    assert Counter(by_udp) == Counter(nginx_edge.nginx.capture.datagrams)
