"""Every request that a load generator sent through HAProxy is an entry, field by field right."""

from __future__ import annotations

import itertools
import re
import uuid
from collections import Counter

import pytest

from .conftest import Edge
from .harness.load import ab, exchange, h2load, request
from .harness.rows import assert_fields, assert_time, by, pick
from .harness.server import LOG, split_entry
from .harness.waiting import wait_for

REQUESTS = 600
WAYS = ("syslog-udp", "syslog-tcp")


def mark() -> str:
    return uuid.uuid4().hex


def rows_of(edge: Edge, query: str, count: int) -> list[dict]:
    """Waits for `count` rows by UDP and as many by TCP; returns those by UDP."""
    rows: list[dict] = []

    def arrived() -> bool:
        rows[:] = edge.muniment.rows(query)
        return len(rows) >= 2 * count

    def ways() -> Counter[str]:
        return Counter(row["via"] for row in rows)

    wait_for(arrived, lambda: f"2 * {count} rows of {query}, there are {dict(ways())}")
    assert ways() == dict.fromkeys(WAYS, count)
    return [row for row in rows if row["via"] == "syslog-udp"]


@pytest.mark.parametrize("frontend", ["web", "plain", "lax", "json", "clf"])
def test_apachebench_counts_as_many_requests_as_search_and_sql_do(
    edge: Edge, frontend: str
) -> None:
    path = f"/ab/{mark()}"
    done = ab(edge.haproxy.url(frontend, path), REQUESTS, headers=[f"X-Mark: {path}"])
    assert done == REQUESTS

    rows = rows_of(edge, f"path:{path}", done)

    assert {pick(row, "load_balancer.name") for row in rows} == {frontend}
    assert {pick(row, "http_response.code") for row in rows} == {200}
    assert not any(row.get("parse_error") for row in rows)
    counted = edge.muniment.sql(
        f"SELECT via, count(*) FROM events WHERE http_request.url.path = '{path}' "
        "AND http_response.code = 200 GROUP BY via ORDER BY via"
    )
    assert counted == [[way, done] for way in sorted(WAYS)]


def test_h2load_over_tls_counts_as_many_streams_as_there_are_entries(edge: Edge) -> None:
    path = f"/h2/{mark()}"
    done = h2load(edge.haproxy.url("secure", path), REQUESTS, headers=[f"x-mark: {path}"])
    assert done == REQUESTS

    # HAProxy logs what HTTP/2 asks for: an absolute URI.
    rows = rows_of(edge, f"path:{path}", done)

    for row in rows:
        assert_fields(
            row,
            {
                "http_request.version": "2.0",
                "http_request.url.path": path,
                "http_response.code": 200,
                "load_balancer.name": "secure",
                "captures.request": [path],
                "parse_error": None,
            },
        )
        assert re.fullmatch(r"TLSv1\.[23]", pick(row, "tls.version"))


def test_tcp_connections_are_entries_too(edge: Edge) -> None:
    sent = [exchange(edge.haproxy.ports["raw"], request(f"/s/200/{n}/{n}")) for n in range(40)]
    ports = " ".join(str(one.client_port) for one in sent)

    rows = rows_of(edge, f"load_balancer.name:raw src_endpoint.port:>0 time:>={since(sent)}", 40)

    found = by(rows, "src_endpoint.port")
    assert set(found) == {one.client_port for one in sent}, ports
    for one in sent:
        row = found[one.client_port]
        assert_time(row, one)
        assert_fields(
            row,
            {
                "class_uid": 4001,
                "src_endpoint.ip": "127.0.0.1",
                "load_balancer.name": "raw",
                "load_balancer.dst_endpoint.svc_name": "rawapp",
                "load_balancer.dst_endpoint.name": "app1",
                "load_balancer.status_detail": "--",
                "traffic.bytes_in": len(one.received),
                "parse_error": None,
            },
        )


def test_a_tcp_connection_to_a_dead_server_says_so(edge: Edge) -> None:
    one = exchange(edge.haproxy.ports["rawdead"], b"hello")

    (row,) = rows_of(edge, f"load_balancer.name:rawdead src_endpoint.port:{one.client_port}", 1)

    assert_fields(
        row,
        {
            "load_balancer.dst_endpoint.svc_name": "rawgone",
            "load_balancer.dst_endpoint.name": "gone1",
            "load_balancer.status_detail": "SC",
            "load.retries": 1,
            "timings.connect": None,
            "status_id": 2,
        },
    )


CASES = [
    (frontend, status, delay, size)
    for frontend, (status, delay, size) in itertools.product(
        ("web", "plain", "json", "clf", "secure"),
        [(200, 0, 0), (201, 30, 1), (301, 0, 7), (404, 60, 500), (500, 0, 70_000), (503, 120, 3)],
    )
]


def test_each_field_of_each_request_is_what_the_client_saw(edge: Edge) -> None:
    token = mark()
    sent = {}
    for number, (frontend, status, delay, size) in enumerate(CASES):
        path = f"/s/{status}/{delay}/{size}/{token}/{number}"
        headers = [f"X-Mark: {token}-{number}", "User-Agent: told/1.0 (a b)"]
        raw = request(f"{path}?n={number}&q=%22", *headers, f"Cookie: sess=s{number}")
        trust = edge.haproxy.trust if frontend == "secure" else None
        sent[path] = (frontend, exchange(edge.haproxy.ports[frontend], raw, trust=trust))

    found = by(rows_of(edge, f"path:*/{token}/*", len(CASES)), "http_request.url.path")

    assert set(found) == set(sent)
    for number, (path, (frontend, one)) in enumerate(sent.items()):
        row = found[path]
        assert one.status == CASES[number][1]
        assert_time(row, one)
        _, _, delay, size = CASES[number]
        # HAProxy counts its own form of the headers, which is not the one on the wire.
        assert size < pick(row, "traffic.bytes_in") <= len(one.received)
        assert delay - 2 <= row["duration"] <= one.milliseconds + 50, (row, one)
        expected = {
            "class_uid": 4002,
            "log": LOG,
            "http_request.http_method": "GET",
            "http_request.url.query_string": f"n={number}&q=%22",
            "http_response.code": one.status,
            "src_endpoint.ip": "127.0.0.1",
            "src_endpoint.port": one.client_port,
            "load_balancer.name": frontend,
            "load_balancer.dst_endpoint.svc_name": "app",
            "load_balancer.dst_endpoint.name": "app1",
            "parse_error": None,
            "device.hostname": "localhost",
        }
        assert_fields(row, expected | of_format(frontend, f"{token}-{number}", number, one))
        if frontend != "json":
            assert delay - 2 <= pick(row, "timings.response") <= row["duration"]
        if frontend in ("json", "clf"):  # no format of theirs tells captures apart: kept as text
            assert f"{token}-{number}" in row["unmapped"]


def of_format(frontend: str, text: str, number: int, one) -> dict:
    """What only some of the formats log."""
    if frontend == "json":
        return {}
    fields = {"http_request.version": "1.1", "load_balancer.status_detail": "----"}
    if frontend == "web":
        cookie = [{"name": "sess", "value": f"s{number}"}]
        fields |= {
            "captures.request": [text, "told/1.0 (a b)"],
            "captures.response": ["tiny"],
            "http_cookies": cookie,
        }
    if frontend == "secure":
        fields |= {
            "captures.request": [text],
            "tls.version": one.tls_version,
            "tls.cipher": one.tls_cipher,
            "tls.sni": "edge.test",
        }
    return fields


def test_refused_and_failed_requests_say_who_refused(edge: Edge) -> None:
    denied = exchange(edge.haproxy.ports["web"], request(f"/deny/{mark()}"))
    dead_path = f"/dead/{mark()}"
    dead = exchange(edge.haproxy.ports["web"], request(dead_path))
    assert (denied.status, dead.status) == (403, 503)

    (row,) = rows_of(edge, f"backend:web src_endpoint.port:{denied.client_port} status:403", 1)
    assert_fields(row, {"load_balancer.dst_endpoint.name": None, "status_id": 2})
    assert pick(row, "load_balancer.status_detail").startswith("PR")
    (row,) = rows_of(edge, f"path:{dead_path} status:503", 1)
    expected = {"load_balancer.dst_endpoint.name": "gone1", "timings.connect": None}
    assert_fields(row, {**expected, "load_balancer.dst_endpoint.svc_name": "dead"})
    assert pick(row, "load_balancer.status_detail").startswith("SC")


def test_every_datagram_that_haproxy_sent_is_an_entry_byte_for_byte(edge: Edge) -> None:
    one = exchange(edge.haproxy.ports["web"], request(f"/last/{mark()}"))
    rows_of(edge, f"load_balancer.name:web src_endpoint.port:{one.client_port} path:/last/*", 1)

    sent: list[bytes] = []
    entries: list[tuple[bytes, bytes]] = []

    def stored(way: bytes) -> list[bytes]:
        return [raw for header, raw in entries if b'"via":"%b"' % way in header]

    def arrived() -> bool:
        sent[:] = edge.haproxy.capture.datagrams
        entries[:] = [split_entry(entry) for entry in edge.muniment.stored()]
        return len(stored(b"syslog-udp")) == len(sent)

    wait_for(arrived, lambda: f"{len(sent)} datagrams, there are {len(stored(b'syslog-udp'))}")
    by_udp, by_tcp = stored(b"syslog-udp"), stored(b"syslog-tcp")

    # The newline at the end of a datagram is framing, as it is on TCP.
    assert by_udp == [datagram.removesuffix(b"\n") for datagram in sent]
    assert Counter(map(message, by_tcp)) == Counter(map(message, by_udp))


def message(line: bytes) -> bytes:
    """What follows the RFC 3164 or the RFC 5424 header."""
    return re.sub(rb"^<[0-9]+>.*?(?:haproxy\[[0-9]+\]: |haproxy [0-9]+ - - )", b"", line).rstrip()


def since(sent) -> str:
    return f'"{sent[0].began.isoformat().replace("+00:00", "Z")}"'
