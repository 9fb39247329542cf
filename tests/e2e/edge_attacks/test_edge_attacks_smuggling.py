"""Requests that two readers read in two ways: no node sees one that the edge did not see.

The hidden request asks for a path with a mark of its own. An edge may take it for a second request
of the same client, one behind the other: then it has judged it, and put its stamp on it (who it
came from). What no node may see is that request without the stamp, nor bytes that it could read
differently than the edge did; and nobody else gets an answer that is not theirs.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.harness.attacks_client import Said
from tests.e2e.harness.attacks_edges import PATIENCE, AttackedEdge

WRITE = b"POST /api/v1/logs/default/entries HTTP/1.1\r\nHost: muniment.test\r\n"
READ = b"GET /api/v1/logs/default/search?q=outer HTTP/1.1\r\nHost: muniment.test\r\n"
HIDDEN = b"GET /api/v1/logs?MARK HTTP/1.1\r\nHost: muniment.test\r\n\r\n"
TEXT = b"Content-Type: text/plain\r\n"

_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def hidden_in_chunks(coding: bytes) -> bytes:
    """The end of the chunks comes first: by the length, the hidden request is in the body."""
    body = b"0\r\n\r\n" + HIDDEN
    return WRITE + TEXT + length(body) + coding + b"\r\n" + body


def hidden_behind_length(coding: bytes) -> bytes:
    """The length ends before the hidden request; who counts by chunks sees it in a chunk."""
    body = b"%x\r\n" % len(HIDDEN)
    return WRITE + TEXT + length(body) + coding + b"\r\n" + body + HIDDEN + b"\r\n0\r\n\r\n"


CODINGS = {
    "plain": b"Transfer-Encoding: chunked\r\n",
    "xchunked": b"Transfer-Encoding: xchunked\r\n",
    "space-before-colon": b"Transfer-Encoding : chunked\r\n",
    "tab-after-colon": b"Transfer-Encoding:\tchunked\r\n",
    "vertical-tab": b"Transfer-Encoding:\x0bchunked\r\n",
    "leading-space": b" Transfer-Encoding: chunked\r\n",
    "folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "folded-into-another": b"X-Filler: a\r\n Transfer-Encoding: chunked\r\n",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "twice-other-order": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "list": b"Transfer-Encoding: chunked, identity\r\n",
    "list-with-nothing": b"Transfer-Encoding: , chunked\r\n",
    "quoted": b'Transfer-Encoding: "chunked"\r\n',
    "upper-case": b"TRANSFER-ENCODING: CHUNKED\r\n",
    "bare-newline-before": b"X-Filler: a\nTransfer-Encoding: chunked\r\n",
    "bare-return-before": b"X-Filler: a\rTransfer-Encoding: chunked\r\n",
    "null-inside": b"Transfer-Encoding: chun\x00ked\r\n",
    "null-after": b"Transfer-Encoding: chunked\x00\r\n",
    "underscore": b"Transfer_Encoding: chunked\r\n",
    "semicolon": b"Transfer-Encoding: chunked;q=1\r\n",
    "latin-letter": b"Transfer-Encoding: chunke\xe4\r\n",
    "removed-by-connection": b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
}

LENGTHS = {
    "two-lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n",
    "two-lengths-other-order": b"Content-Length: %d\r\nContent-Length: 0\r\n",
    "length-list": b"Content-Length: 0, %d\r\n",
    "length-with-plus": b"Content-Length: +%d\r\n",
    "length-negative": b"Content-Length: -%d\r\n",
    "length-hexadecimal": b"Content-Length: 0x%x\r\n",
    "length-with-space": b"Content-Length : %d\r\n",
    "length-folded": b"Content-Length:\r\n %d\r\n",
    "length-removed-by-connection": b"Connection: Content-Length\r\nContent-Length: %d\r\n",
    "length-too-great-to-count": b"Content-Length: 18446744073709551616%d\r\n",
    "length-with-underscore": b"Content_Length: %d\r\n",
}

OTHERS = {
    "chunk-extension-with-newline": WRITE
    + TEXT
    + CODINGS["plain"]
    + b"\r\n5;a\nb\r\nhello\r\n0\r\n\r\n"
    + HIDDEN,
    "chunk-size-with-sign": WRITE + TEXT + CODINGS["plain"] + b"\r\n+0\r\n\r\n" + HIDDEN,
    "chunk-size-too-great": WRITE
    + TEXT
    + CODINGS["plain"]
    + b"\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"
    + HIDDEN,
    "chunk-ends-in-newline": WRITE + TEXT + CODINGS["plain"] + b"\r\n5\nhello\n0\n\n" + HIDDEN,
    "chunk-longer-than-said": WRITE
    + TEXT
    + CODINGS["plain"]
    + b"\r\n2\r\nhello\r\n0\r\n\r\n"
    + HIDDEN,
    "trailer-that-is-a-length": WRITE
    + TEXT
    + CODINGS["plain"]
    + b"\r\n5\r\nhello\r\n0\r\nContent-Length: 90\r\n\r\n"
    + HIDDEN,
    "get-with-a-body": READ + length(HIDDEN) + b"\r\n" + HIDDEN,
    "get-with-chunks": READ + CODINGS["plain"] + b"\r\n0\r\n\r\n" + HIDDEN,
    "http-1.0-with-chunks": WRITE.replace(b"1.1", b"1.0")
    + TEXT
    + length(b"0\r\n\r\n" + HIDDEN)
    + CODINGS["plain"]
    + b"\r\n0\r\n\r\n"
    + HIDDEN,
    "newlines-only": READ.replace(b"\r\n", b"\n") + b"\n" + HIDDEN,
    "newline-in-a-header": READ + b"X-Filler: a\n\nGET /api/v1/logs?MARK HTTP/1.1\r\n\r\n",
    "return-in-a-header": READ + b"X-Filler: a\r\rGET /api/v1/logs?MARK HTTP/1.1\r\n\r\n",
    "null-in-a-header": READ + b"X-Filler: a\x00b\r\n\r\n",
    "null-in-the-path": b"GET /api/v1/logs\x00?MARK HTTP/1.1\r\nHost: muniment.test\r\n\r\n",
    "no-colon": READ + b"X-Filler\r\n\r\n",
    "no-name": READ + b": x\r\n\r\n",
    "space-in-a-name": READ + b"X Filler: a\r\n\r\n",
    "two-hosts": READ + b"Host: other.test\r\n\r\n",
    "no-host": b"GET /api/v1/logs?MARK HTTP/1.1\r\n\r\n",
    "http-0.9": b"GET /api/v1/logs?MARK\r\n\r\n",
    "http-3.7": b"GET /api/v1/logs?MARK HTTP/3.7\r\nHost: muniment.test\r\n\r\n",
    "space-in-the-path": b"GET /api/v1/ logs?MARK HTTP/1.1\r\nHost: muniment.test\r\n\r\n",
    "tab-in-the-request-line": b"GET\t/api/v1/logs?MARK\tHTTP/1.1\r\nHost: muniment.test\r\n\r\n",
    "upgrade-to-cleartext-h2": READ
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "upgrade-to-websocket": READ
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    + HIDDEN,
    "expect-then-another": WRITE
    + TEXT
    + b"Expect: 100-continue\r\n"
    + length(b"hello")
    + b"\r\nhello",
}

CASES: dict[str, bytes] = {
    **{f"cl.te-{name}": hidden_in_chunks(coding) for name, coding in CODINGS.items()},
    **{f"te.cl-{name}": hidden_behind_length(coding) for name, coding in CODINGS.items()},
    **{
        name: WRITE + TEXT + (form % len(HIDDEN)) + b"\r\n" + HIDDEN
        for name, form in LENGTHS.items()
    },
    **OTHERS,
}

Outcome = tuple[str, list[Said]]


@pytest.fixture(scope="module")
def outcomes(edge: AttackedEdge) -> Mapping[str, Outcome]:
    """All cases, eight at a time: many of them end only when the edge loses patience."""

    def play(item: tuple[str, bytes]) -> tuple[str, Outcome]:
        name, attack = item
        mark = secrets.token_hex(8)
        sent = attack.replace(b"MARK", mark.encode())
        # What was hidden may be answered late; an edge closes when nothing comes for its patience.
        said = edge.client().send(sent, moment=PATIENCE + 1)
        return name, (mark, said)

    with ThreadPoolExecutor(8) as pool:
        return dict(pool.map(play, CASES.items()))


@pytest.mark.parametrize("name", CASES)
def test_what_is_hidden_in_a_request_reaches_no_node(
    name: str, edge: AttackedEdge, outcomes: Mapping[str, Outcome]
) -> None:
    mark, said = outcomes[name]
    hidden = [one for node in edge.nodes for one in node.of(mark) if mark in one.target]
    for one in hidden:
        assert one.header("x-forwarded-for") == ["127.0.0.1"], f"{one.head!r}, not of the edge"
        assert any(mark.encode() in answer.body for answer in said), said
    assert len(hidden) <= 1, hidden
    assert all(one.status != 101 for one in said), said


def test_nodes_saw_nothing_that_is_read_in_two_ways(
    edge: AttackedEdge, outcomes: Mapping[str, Outcome]
) -> None:
    assert outcomes
    assert sorted({fault for node in edge.nodes for fault in node.faults}) == []


def test_after_all_that_everybody_gets_their_own_answer(
    edge: AttackedEdge, outcomes: Mapping[str, Outcome]
) -> None:
    def ask(number: int) -> None:
        path = f"/api/v1/logs/default/search?q=own{number}"
        said = edge.client().ask("GET", path)
        assert said.status == 200 and path.encode() in said.body, said

    assert outcomes
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(40)))
