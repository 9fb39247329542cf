"""Connections: each costs bounded memory and time, whatever is sent or not sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from api_parts import NAME, FailingShard, ScriptedQuery, Serve, Served, eventually

from muniment.api.protocol import BoundedProtocol

ENTRIES = "/api/v1/logs/default/entries"
HEAD = (
    b"POST /api/v1/logs/default/entries HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
)


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65_536):
            received += data
    return bytes(received)


def problem(answer: bytes, status: int) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert b"application/problem+json" in head
    told: dict[str, object] = json.loads(body)
    assert told["status"] == status
    return told


def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    served = serve(header_seconds=0.1)
    with served.connect() as connection:
        assert everything(connection) == b""
    assert served.context.meters.slow_connections == 1


def test_a_head_that_does_not_end_is_told_so(serve: Serve) -> None:
    with serve(header_seconds=0.1).connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127")
        problem(everything(connection), 408)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 100\r\n\r\nhalf",
        b"Content-Length: 100\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nha",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhalf\n\r\n",
    ],
)
def test_a_body_that_does_not_come_is_given_up(
    serve: Serve, shard: FailingShard, rest: bytes
) -> None:
    served = serve(body_seconds=0.1)
    with served.connect() as connection:
        connection.sendall(HEAD + rest)
        problem(everything(connection), 408)
    assert shard.size == 0
    eventually(lambda: not served.context.budget.held)


def test_after_an_answer_the_connection_waits_for_the_next_request(serve: Serve) -> None:
    """The time-out of a head begins with its first byte, not with the answer before."""
    served = serve(header_seconds=0.1)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        slow_before = served.context.meters.slow_connections
        for _ in range(3):
            assert client.get("/healthz").is_success
            with served.connect() as other:
                everything(other)  # outlasts a sweep
        assert served.context.meters.slow_connections == slow_before + 3
        assert served.context.meters.connections == 1


def test_too_many_connections_are_refused_at_once(serve: Serve) -> None:
    served = serve(connections=2)
    with served.connect() as first, served.connect() as second, served.connect() as third:
        told = problem(everything(third), 429)
        assert told["retry_after"]
        for connection in (first, second):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")


def fill(connection: socket.socket, piece: Callable[[int], bytes], pieces: int) -> bytes:
    """Sends piece after piece until the server has had enough; returns its answer."""
    with contextlib.suppress(ConnectionError):
        for number in range(pieces):
            connection.sendall(piece(number))
    return everything(connection)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", lambda n: b"X-%d: %s\r\n" % (n, b"h" * 1_000)),
        (b"GET / HTTP/1.1\r\nX: ", lambda n: b"h" * 10_000),
        (b"GET /", lambda n: b"p" * 10_000),
    ],
)
def test_a_head_without_end_is_cut_off(
    served: Served, start: bytes, piece: Callable[[int], bytes]
) -> None:
    with served.connect() as connection:
        connection.sendall(start)
        answer = fill(connection, piece, 100_000)
        if answer:  # the rest of what was sent can reset the connection before it is read
            problem(answer, 431)


@pytest.mark.parametrize("trailer", [b"X: ", b"X: y\r\n"])
def test_trailers_without_end_are_cut_off(
    served: Served, shard: FailingShard, trailer: bytes
) -> None:
    with served.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + trailer)
        fill(connection, lambda n: b"h" * 10_000 if len(trailer) < 4 else trailer * 1_000, 100_000)
    assert shard.size == 0


def test_tiny_chunks_make_the_same_body(served: Served, shard: FailingShard) -> None:
    with served.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for _ in range(1_000):
            connection.sendall(b"1\r\na\r\n1;x=y\r\n\n\r\n" * 50)
        connection.sendall(b"0\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 201 ")
    assert shard.size == 50_000


def test_requests_in_a_pipeline_are_answered_in_order(served: Served) -> None:
    one = HEAD + b"Content-Length: 1\r\n\r\na"
    with served.connect() as connection:
        connection.sendall(one * 10 + b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = everything(connection)
    places = [answer.index(b'"first":%d,' % number) for number in range(10)]
    assert places == sorted(places)
    assert answer.count(b"HTTP/1.1 201 ") == 10
    assert answer.count(b"HTTP/1.1 404 ") == 1


def test_a_pipeline_without_end_is_cut_off(served: Served, shard: FailingShard) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with served.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(one * 10_000)
        everything(connection)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        assert client.get("/healthz").is_success


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 100,
        b"HELO there\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_what_is_no_http_is_a_problem(served: Served, shard: FailingShard, sent: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(sent)
        problem(everything(connection), 400)
    assert shard.size == 0


def test_an_answer_that_comes_early_is_read_by_a_client_that_sends_on(serve: Serve) -> None:
    """The body of a refused request is drained, so that the refusal is not lost to a reset."""
    served = serve(body=1_000)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        for _ in range(3):
            big = client.post(ENTRIES, content=b"x" * 8_000_000, headers={"content-type": "a/b"})
            assert big.status_code == 415
        assert client.get("/healthz").is_success


def test_a_client_that_asks_first_does_not_send_what_is_refused(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(
            b"POST /api/v1/logs/nope/entries HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = everything(connection)  # the server closes: the body never comes
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"100 Continue" not in answer


def test_a_client_that_asks_first_is_told_to_go_on(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(
            HEAD + b"Content-Length: 1\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"a")
        assert everything(connection).startswith(b"HTTP/1.1 201 ")


def test_a_client_that_goes_away_leaves_nothing_behind(served: Served, shard: FailingShard) -> None:
    for _ in range(20):
        with served.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000)
    eventually(lambda: not served.context.budget.held)
    assert shard.size == 0


def test_an_upgrade_is_passed_over(served: Served) -> None:
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + upgrade)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")


def test_answers_say_nothing_of_the_server_and_are_safe_in_a_browser(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/healthz", "/api/v1/logs", "/nothing"):
        headers = client.get(path).headers
        assert "server" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert policy.startswith(("default-src 'self'", "default-src 'none'"))
        assert "access-control-allow-origin" not in headers


def test_head_is_get_without_a_body(client: httpx.Client) -> None:
    for path in ("/healthz", "/", "/api/v1/logs"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-length"] == got.headers["content-length"]


def test_a_client_that_does_not_read_its_answer_is_cut_off(
    serve: Serve, query: ScriptedQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.api.protocol.WRITE_SECONDS", 0.1)
    served = serve()
    rows = [{"shard": NAME, "index": index, "raw": "x" * 1_000_000} for index in range(30)]
    query.pages = [{"rows": rows, "after": {NAME: 30}}]
    with served.connect() as connection:
        connection.sendall(b"GET /api/v1/logs/default/tail HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        eventually(lambda: served.context.meters.slow_connections == 1)
        eventually(lambda: served.context.meters.tails == 0)
        assert served.context.meters.connections == 0


def test_a_writer_that_does_not_read_its_answers_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.api.protocol.WRITE_SECONDS", 0.5)
    served = serve()
    one = HEAD + b"Content-Length: 1\r\n\r\na"
    with served.connect() as connection:
        connection.settimeout(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        with contextlib.suppress(ConnectionError):
            for _ in range(20_000):
                connection.sendall(one * 8)
                time.sleep(0.004)
        eventually(lambda: served.context.meters.connections == 0)
    eventually(lambda: served.context.budget.held == 0)


class Unread:
    """A transport that was closed while its last bytes wait for a peer that does not read."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return True


def test_a_client_that_does_not_read_its_refusal_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is closed here waits until the last of it was read, but not for ever."""
    monkeypatch.setattr("muniment.api.protocol.WRITE_SECONDS", 0.5)
    served = serve()
    with served.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        eventually(lambda: served.server.server_state.total_requests == 1)
        (there,) = served.server.server_state.connections
        assert isinstance(there, BoundedProtocol)
        monkeypatch.setattr(there, "transport", Unread(there.transport))
        eventually(lambda: served.context.meters.connections == 0)
    assert served.context.meters.slow_connections == 1
