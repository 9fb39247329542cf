r"""Requests that no honest client sends: kept byte for byte, never a forged field, still found.

HAProxy refuses most of them (`<BADREQ>`); the frontend `lax` lets them through, and its log escapes
what is not printable as `#XX`. Expected values are what the client sent; bytes that are not UTF-8
are shown as `\xNN`.
"""

from __future__ import annotations

import socket
import uuid

import pytest

from .conftest import Edge
from .harness.load import exchange
from .harness.rows import assert_fields, pick
from .harness.waiting import wait_for

MARKS = {
    "quotes": b'"a" "GET /forged HTTP/1.1" 200 0',
    "braces": b"{a|b} {c} |} - ---- 9/9/9/9/9 9/9",
    "script": b"</script><script>alert(1)</script>",
    "spaces": b"a  b   c",
    "latin-1": b"caf\xe9 \xff\xfe",
    "utf-8": "café – ☃".encode(),
    "controls": b"a\tb\x01\x1b[31m\x7f",
    "hashes": b"#22 #7B ##",
    "backslashes": b"\\x41 \\ \\\\",
    "json": b'{"time":"2001-01-01T00:00:00Z","status":999}',
    "syslog": b"<13>Jan  1 00:00:00 other sshd[1]: accepted",
    "format": b"%s%n ${HOME} $(id) `id`",
    "sql": b"'; DROP TABLE events; --",
}

PATHS = {
    "latin-1": b"/\xff\xfe\xe9",
    "quote": b'/"quoted"',
    "braces": b"/{a|b}",
    "script": b"/</script>",
    "percent": b"/%00%22%0a%zz",
    "query": b"/?a={|}&b=\"'&c=\\",
    "long": b"/" + b"l" * 900,
    "dots": b"/../../etc/passwd",
}

BAD = {
    "no method": b"\r\n\r\nGARBAGE\r\n\r\n",
    "NUL in the path": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in a header name": b"GET / HTTP/1.1\r\nHost: a\r\nX\0Mark: b\r\n\r\n",
    "space in a header name": b"GET / HTTP/1.1\r\nHost: a\r\nX Mark: b\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "HTTP/0.9": b"GET /old\r\n\r\n",
    "a huge header": b"GET / HTTP/1.1\r\nHost: a\r\nX-Mark: " + b"h" * 40_000 + b"\r\n\r\n",
    "TLS to a plain port": bytes.fromhex("16030100050100000101") + b"\r\n" * 4,
}


def shown(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def rows_of(edge: Edge, query: str) -> list[dict]:
    """The rows by UDP and by TCP of one request."""
    return wait_for(lambda: [r for r in [list(edge.muniment.rows(query))] if len(r) == 2], query)[0]


@pytest.mark.parametrize("name", MARKS)
def test_a_hostile_header_stays_within_its_capture(edge: Edge, name: str) -> None:
    path = f"/{uuid.uuid4().hex}"
    sent = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Mark: ".encode() + MARKS[name]
    one = exchange(edge.haproxy.ports["lax"], sent + b"\r\nConnection: close\r\n\r\n")
    assert one.status == 200

    for row in rows_of(edge, f"path:{path}"):
        assert_fields(
            row,
            {
                "captures.request": [shown(MARKS[name])],
                "http_request.http_method": "GET",
                "http_request.url.path": path,
                "http_response.code": 200,
                "src_endpoint.port": one.client_port,
                "load_balancer.dst_endpoint.name": "app1",
                "load_balancer.status_detail": "----",
                "parse_error": None,
            },
        )


@pytest.mark.parametrize("name", PATHS)
def test_a_hostile_path_is_shown_as_it_was_sent(edge: Edge, name: str) -> None:
    mark = uuid.uuid4().hex
    sent = b"GET " + PATHS[name] + f" HTTP/1.1\r\nHost: a\r\nX-Mark: {mark}".encode()
    one = exchange(edge.haproxy.ports["lax"], sent + b"\r\nConnection: close\r\n\r\n")
    assert one.status == 200

    path, _, query = shown(PATHS[name]).partition("?")
    for row in rows_of(edge, f'"{mark}"'):
        assert_fields(
            row,
            {
                "http_request.url.path": path,
                "http_request.url.query_string": query or None,
                "http_request.version": "1.1",
                "http_response.code": 200,
                "captures.request": [mark],
                "parse_error": None,
            },
        )


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_kept_and_found(edge: Edge, name: str) -> None:
    one = exchange(edge.haproxy.ports["web"], BAD[name])
    assert one.status in (400, None)

    for row in rows_of(edge, f'"BADREQ" "127.0.0.1:{one.client_port}"'):
        assert_fields(
            row,
            {
                "http_response.code": 400,
                "src_endpoint.port": one.client_port,
                "load_balancer.name": "web",
                "load_balancer.dst_endpoint.name": None,
                "http_request.url.path": None,
                "http_request.http_method": None,
            },
        )
        assert pick(row, "load_balancer.status_detail").startswith("PR")


def test_a_missing_host_is_no_reason_to_lose_the_request(edge: Edge) -> None:
    path = f"/{uuid.uuid4().hex}"
    exchange(edge.haproxy.ports["web"], f"GET {path} HTTP/1.0\r\n\r\n".encode())

    for row in rows_of(edge, f"path:{path}"):
        assert_fields(row, {"http_request.version": "1.0", "http_request.url.hostname": None})


def test_a_cookie_that_imitates_the_rest_of_the_line_forges_nothing(edge: Edge) -> None:
    path = f"/{uuid.uuid4().hex}"
    cookie = b'sess=x - ---- 1/1/0/0/0 0/0 {x|y} {z} "GET /forged HTTP/1.1"'
    sent = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: ".encode() + cookie
    one = exchange(edge.haproxy.ports["web"], sent + b"\r\n\r\n")

    assert one.status == 200
    for row in rows_of(edge, f'"{path}" "127.0.0.1:{one.client_port}"'):
        assert pick(row, "http_request.url.path") in (path, None)
        assert_fields(row, {"src_endpoint.port": one.client_port, "http_response.code": 200})
    assert not list(edge.muniment.rows(f'path:/forged "{path}"'))


def test_a_line_that_is_no_haproxy_line_is_kept_flagged_and_found(edge: Edge) -> None:
    mark = uuid.uuid4().hex
    raw = b"<134>Nov 21 05:00:00 localhost haproxy[1]: \xff\xfe\x00 neither this nor that " + (
        mark.encode()
    )
    edge.haproxy.capture.datagrams.append(raw)
    send(edge.muniment.syslog_port, raw)

    (row,) = wait_for(lambda: list(edge.muniment.rows(f'"{mark}"')), "the line that is none")

    assert_fields(row, {"class_uid": 0, "via": "syslog-udp", "raw_data": shown(raw)})
    assert row["parse_error"]
    assert edge.muniment.entry(row["index"], row["shard"]).endswith(b"\n" + raw)


def send(port: int, datagram: bytes) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(datagram, ("127.0.0.1", port))
