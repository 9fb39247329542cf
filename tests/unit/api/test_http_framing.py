"""Requests that end at different places for different parsers: refused, and the connection ends."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass

import pytest
from api_parts import FailingShard, Served

SMUGGLED = b"POST /api/v1/logs/default/entries HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SMUGGLED += b"Content-Type: text/plain\r\nContent-Length: 8\r\n\r\nsmuggled"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

HEADS = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "both lengths, the other way": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END,
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": b"Content-Length: +5\r\n\r\nhello",
    "a negative length": b"Content-Length: -5\r\n\r\nhello",
    "a hexadecimal length": b"Content-Length: 0x5\r\n\r\nhello",
    "no length in the header": b"Content-Length: \r\n\r\nhello",
    "a length beyond all": b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "a space before the colon of chunks": b"Transfer-Encoding : chunked\r\n\r\n" + END,
    "another coding": b"Transfer-Encoding: xchunked\r\n\r\n" + END,
    "identity": b"Transfer-Encoding: identity\r\n\r\n",
    "a coding below chunks": b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END,
    "chunks in chunks": b"Transfer-Encoding: chunked, chunked\r\n\r\n" + END,
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "chunks and then not": b"Transfer-Encoding: chunked, identity\r\n\r\n" + END,
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END,
    "a quoted coding": b'Transfer-Encoding: "chunked"\r\n\r\n' + END,
    "bare LF in the head": b"X: y\nContent-Length: 5\r\n\r\nhello",
    "bare LF at its end": b"Content-Length: 5\r\n\nhello",
    "bare CR in the head": b"X: y\rContent-Length: 5\r\n\r\nhello",
    "a folded line": b"X: y\r\n z\r\nContent-Length: 5\r\n\r\nhello",
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + END,
    "NUL in a value": b"X: y\0z\r\nContent-Length: 5\r\n\r\nhello",
    "NUL in a name": b"X\0: y\r\nContent-Length: 5\r\n\r\nhello",
    "a line without a colon": b"xyz\r\nContent-Length: 5\r\n\r\nhello",
    "a header without a name": b": y\r\nContent-Length: 5\r\n\r\nhello",
    "two hosts": b"Host: other\r\nContent-Length: 5\r\n\r\nhello",
}
CHUNKS = {
    "bare LF behind a size": b"5\nhello\r\n" + END,
    "bare LF behind the data": b"5\r\nhello\n" + END,
    "nothing behind the data": b"5\r\nhello" + END,
    "bare LF at the end": b"5\r\nhello\r\n0\n\n",
    "bare LF in an extension": b"5;a\nhello\r\n" + END,
    "a line in a quoted extension": b'5;a="\r\nhello\r\n' + END,
    "NUL in an extension": b"5;a\0\r\nhello\r\n" + END,
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n" + END,
    "a space behind the size": b"5 \r\nhello\r\n" + END,
    "a space before the size": b" 5\r\nhello\r\n" + END,
    "a signed size": b"+5\r\nhello\r\n" + END,
    "a size with 0x": b"0x5\r\nhello\r\n" + END,
    "a size with _": b"0_5\r\nhello\r\n" + END,
    "a size beyond all": b"10000000000000005\r\nhello\r\n" + END,
    "no size": b"\r\nhello\r\n" + END,
    "a length in the trailers": b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
}
LINES = {
    "chunks in HTTP/1.0": b"POST /api/v1/logs/default/entries HTTP/1.0",
    "HTTP/2.0 in words": b"POST /api/v1/logs/default/entries HTTP/2.0",
    "HTTP/1.2": b"POST /api/v1/logs/default/entries HTTP/1.2",
    "HTTP/0.9": b"POST /api/v1/logs/default/entries HTTP/0.9",
    "a space in the target": b"POST /api/v1/logs/default/entries?a b HTTP/1.1",
}
LINE = b"POST /api/v1/logs/default/entries HTTP/1.1"
REST = b"\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"


@dataclass
class Heard:
    """What came before the server closed."""

    answers: list[bytes]

    @classmethod
    def of(cls, connection: socket.socket) -> Heard:
        received = bytearray()
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65_536):
                received += data
        return cls([b"HTTP/1.1 " + one for one in bytes(received).split(b"HTTP/1.1 ")[1:]])


@pytest.mark.parametrize("name", [*HEADS, *CHUNKS, *LINES])
@pytest.mark.parametrize("before", [False, True], ids=["first", "behind another"])
def test_what_is_ambiguous_is_refused_and_nothing_behind_it_is_read(
    served: Served, shard: FailingShard, name: str, before: bool
) -> None:
    request = LINE + REST + (HEADS[name] if name in HEADS else CHUNKED + CHUNKS.get(name, b""))
    if name in LINES:
        request = LINES[name] + REST + CHUNKED + b"5\r\nhello\r\n" + END
    with served.connect() as connection:
        if before:
            connection.sendall(LINE + REST + b"Content-Length: 4\r\n\r\ngood")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 201 ")
        connection.sendall(request + SMUGGLED)
        (answer,) = Heard.of(connection).answers
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert b"connection: close" in head.lower()
    assert json.loads(body)["type"] == "urn:muniment:problem:bad-input"
    assert shard.size == before


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nhello\r\n" + END,
        b'0005;a="b c";d\r\nhello\r\n' + END,
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: y\r\n\r\n",
    ],
)
def test_chunks_that_all_parsers_read_alike_are_taken(
    served: Served, shard: FailingShard, chunks: bytes
) -> None:
    with served.connect() as connection:
        connection.sendall(LINE + REST + CHUNKED + chunks)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 201 ")
        connection.sendall(SMUGGLED)  # a request of its own here
        assert connection.recv(65_536).startswith(b"HTTP/1.1 201 ")
    assert shard.size == 2


def test_trailers_are_no_headers(served: Served) -> None:
    """Behind a body nobody may say who calls."""
    served.context.tokens_required = True
    request = b"POST /api/v1/logs/default/nothing HTTP/1.1\r\nHost: evil.example\r\n" + CHUNKED
    with served.connect() as connection:
        connection.sendall(request + b"0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\n\r\n")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 403 ")


def test_a_bad_request_behind_one_under_way_does_not_answer_it(
    served: Served, shard: FailingShard
) -> None:
    """The refusal of the second must never be read as the answer to the first."""
    first = LINE + REST + b"Content-Length: 4\r\n\r\ngood"
    with served.connect() as connection:
        connection.sendall(first + LINE + REST + HEADS["two hosts"])
        answers = Heard.of(connection).answers
    assert all(not answer.startswith(b"HTTP/1.1 400 ") for answer in answers[:1])
    assert shard.size <= 1
