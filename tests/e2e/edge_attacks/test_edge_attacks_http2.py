"""HTTP/2 whose headers mean something else in HTTP/1.1: a node sees no byte of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.harness.attacks_edges import AttackedEdge
from tests.e2e.harness.attacks_http2 import Told, ask_h2, pseudo

PATH = b"/api/v1/logs/default/search?q=MARK"
HIDDEN = b"\r\n\r\nGET /api/v1/logs?MARK HTTP/1.1\r\nHost: muniment.test\r\n\r\n"

CASES = {
    "newline-in-a-value": pseudo(b"GET", PATH, (b"x-filler", b"a\r\nx-ssl-client-cn: root")),
    "request-in-a-value": pseudo(b"GET", PATH, (b"x-filler", b"a" + HIDDEN)),
    "newline-only-in-a-value": pseudo(b"GET", PATH, (b"x-filler", b"a\nx-forwarded-for: 9.9.9.9")),
    "null-in-a-value": pseudo(b"GET", PATH, (b"x-filler", b"a\x00b")),
    "newline-in-a-name": pseudo(b"GET", PATH, (b"x-filler: a\r\nx-ssl-client-cn", b"root")),
    "colon-in-a-name": pseudo(b"GET", PATH, (b"x-ssl-client-cn: root", b"")),
    "space-in-a-name": pseudo(b"GET", PATH, (b"x filler", b"a")),
    "capital-in-a-name": pseudo(b"GET", PATH, (b"X-Filler", b"a")),
    "empty-name": pseudo(b"GET", PATH, (b"", b"a")),
    "request-in-the-path": pseudo(b"GET", b"/ HTTP/1.1\r\nHost: a\r\n\r\nGET /x?MARK"),
    "space-in-the-path": pseudo(b"GET", b"/api/v1/logs?a HTTP/1.1 MARK"),
    "newline-in-the-path": pseudo(b"GET", PATH + b"\r\nx-ssl-client-cn: root"),
    "path-without-slash": pseudo(b"GET", b"api/v1/logs?MARK"),
    "empty-path": pseudo(b"GET", b"", (b"x-filler", b"MARK")),
    "absolute-path": pseudo(b"GET", b"https://other.test/api/v1/logs?MARK"),
    "request-in-the-method": pseudo(b"GET /api/v1/logs?MARK HTTP/1.1\r\nHost: a\r\n\r\nGET", b"/"),
    "space-in-the-method": pseudo(b"GET /api/v1/tokens", PATH),
    "newline-in-the-authority": pseudo(b"GET", PATH, authority=b"a\r\nx-ssl-client-cn: root"),
    "space-in-the-authority": pseudo(b"GET", PATH, authority=b"a b"),
    "user-in-the-authority": pseudo(b"GET", PATH, authority=b"localhost@muniment.test"),
    "two-paths": [*pseudo(b"GET", PATH), (b":path", b"/api/v1/tokens")],
    "two-methods": [(b":method", b"POST"), *pseudo(b"GET", PATH)],
    "pseudo-header-at-the-end": [*pseudo(b"GET", PATH, (b"x", b"y")), (b":status", b"200")],
    "unknown-pseudo-header": [*pseudo(b"GET", PATH), (b":x-filler", b"a")],
    "no-path": [one for one in pseudo(b"GET", b"/", (b"x-a", b"MARK")) if one[0] != b":path"],
    "no-method": [one for one in pseudo(b"GET", PATH) if one[0] != b":method"],
    "host-beside-authority": pseudo(b"GET", PATH, (b"host", b"localhost")),
    "two-hosts": pseudo(b"GET", PATH, (b"host", b"a.test"), (b"host", b"b.test")),
    "transfer-encoding": pseudo(b"POST", PATH, (b"transfer-encoding", b"chunked")),
    "connection": pseudo(b"GET", PATH, (b"connection", b"x-forwarded-for")),
    "keep-alive": pseudo(b"GET", PATH, (b"keep-alive", b"timeout=5")),
    "proxy-connection": pseudo(b"GET", PATH, (b"proxy-connection", b"keep-alive")),
    "upgrade": pseudo(b"GET", PATH, (b"upgrade", b"h2c")),
    "te": pseudo(b"GET", PATH, (b"te", b"chunked")),
    "length-of-less": pseudo(b"POST", PATH, (b"content-length", b"2")),
    "length-of-more": pseudo(b"POST", PATH, (b"content-length", b"2000")),
    "two-lengths": pseudo(b"POST", PATH, (b"content-length", b"5"), (b"content-length", b"9")),
    "connect": pseudo(b"CONNECT", b"/api/v1/logs?MARK"),
    "extended-connect": [*pseudo(b"CONNECT", PATH), (b":protocol", b"websocket")],
}

Outcome = tuple[str, Told]


@pytest.fixture(scope="module")
def outcomes(edge: AttackedEdge) -> Mapping[str, Outcome]:
    """All cases, eight at a time: some end only when the edge closes the connection."""

    def play(name: str) -> tuple[str, Outcome]:
        mark = secrets.token_hex(8)
        marked = [
            (key.replace(b"MARK", mark.encode()), value.replace(b"MARK", mark.encode()))
            for key, value in CASES[name]
        ]
        body = b"hello" if (b":method", b"POST") in marked else b""
        return name, (mark, ask_h2(edge.client(), marked, body, seconds=3))

    with ThreadPoolExecutor(8) as pool:
        return dict(pool.map(play, CASES))


@pytest.mark.parametrize("name", CASES)
def test_headers_of_http2_make_no_other_request(
    name: str, edge: AttackedEdge, outcomes: Mapping[str, Outcome]
) -> None:
    mark, told = outcomes[name]
    seen = edge.seen(mark)
    assert len(seen) <= 1, seen
    for one in seen:
        assert one.header("x-forwarded-for") == ["127.0.0.1"], one.head
        assert one.header("x-ssl-client-cn") in ([], [""]), one.head
        assert "9.9.9.9" not in one.head.decode("latin-1"), one.head
        for forbidden in ("keep-alive", "proxy-connection", "upgrade"):
            assert not one.header(forbidden), one.head
    assert told.status != 101


def test_nodes_saw_nothing_that_is_read_in_two_ways(
    edge: AttackedEdge, outcomes: Mapping[str, Outcome]
) -> None:
    assert outcomes
    assert sorted({fault for node in edge.nodes for fault in node.faults}) == []
    for number in range(8):
        path = f"/api/v1/logs/default/search?q=own{number}"
        assert path.encode() in edge.client().ask("GET", path).body


def test_an_honest_request_passes(edge: AttackedEdge) -> None:
    path = b"/api/v1/logs/default/search?q=honest"
    told = ask_h2(edge.client(), pseudo(b"GET", path))
    assert told.status == 200 and path in told.body
    write = pseudo(b"POST", b"/api/v1/logs/default/entries", (b"content-type", b"text/plain"))
    assert ask_h2(edge.client(), write, b"hello").status == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [(b"POST", b"/nosuch/path", 404), (b"DELETE", b"/api/v1/logs/default/search", 405)],
)
def test_who_still_sends_a_body_gets_the_answer(
    method: bytes, path: bytes, status: int, edge: AttackedEdge
) -> None:
    """What is refused for its head alone: many a client shows no answer of a stream that broke."""
    told = ask_h2(edge.client(), pseudo(method, path), b"x" * 1_000, late=0.2)
    assert told.status == status
    assert not told.broken
