"""Behind an edge: it speaks for its client, request by request, and nobody else is heard."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_parts import FailingShard, Serve, Served, token
from tests.authority import SERVER, Authority, Issued

from muniment.access import Scope
from muniment.receive.tls import tls_context

NATIVE = "/api/v1/logs/default/entries"
DIALECTS = {
    "native": (NATIVE, "text/plain", b"line"),
    "splunk": ("/services/collector/event", "application/json", b'{"event":"line"}'),
    "elastic": ("/_bulk", "application/x-ndjson", b'{"create":{}}\n{"message":"line"}\n'),
    "loki": (
        "/loki/api/v1/push",
        "application/json",
        b'{"streams":[{"stream":{"a":"b"},"values":[["1795000000000000000","line"]]}]}',
    ),
    "otlp": (
        "/v1/logs",
        "application/json",
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"line"}}]}]}]}',
    ),
}

Headers = dict[str, str] | list[tuple[str, str]]


@dataclass
class Line:
    """One TLS connection, spoken on by hand."""

    socket: ssl.SSLSocket

    def ask(self, method: str, path: str, headers: Headers, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one answer."""
        pairs = headers.items() if isinstance(headers, dict) else headers
        lines = [f"{method} {path} HTTP/1.1", f"Host: {SERVER}"]
        lines += [f"{name}: {value}" for name, value in pairs]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        self.socket.sendall(head.encode("latin-1") + body)
        return self.answer()

    def write(self, headers: Headers, dialect: str = "native") -> int:
        path, media, body = DIALECTS[dialect]
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        return self.ask("POST", path, [("Content-Type", media), *pairs], body)[0]

    def answer(self) -> tuple[int, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        while len(body) < length:
            body += self._more()
        return int(head.split(b" ", 2)[1]), body

    @property
    def closed(self) -> bool:
        with contextlib.suppress(OSError):
            return self.socket.recv(1) == b""
        return True

    def _more(self) -> bytes:
        data = self.socket.recv(65_536)
        assert data, "the server closed"
        return data


@dataclass
class Node:
    """A node that asks for client certificates, and those who have one."""

    served: Served
    shard: FailingShard
    authority: Authority
    edge: Issued

    @contextlib.contextmanager
    def line(self, who: Issued | None) -> Iterator[Line]:
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        if who is not None:
            trust.load_cert_chain(who.certificate, who.key)
        with (
            self.served.connect() as plain,
            trust.wrap_socket(plain, server_hostname=SERVER) as wrapped,
        ):
            yield Line(wrapped)

    def headers(self) -> list[dict[str, object]]:
        """The receipt headers of all entries."""
        reader = self.shard.reader
        return [
            json.loads(reader.entry(index).partition(b"\n")[0]) for index in range(self.shard.size)
        ]


@pytest.fixture
def node(serve: Serve, shard: FailingShard, tmp_path: Path) -> Node:
    authority = Authority(tmp_path)
    issued = authority.server()
    context = tls_context(issued.certificate, issued.key, authority.certificate)
    named = {"edges": frozenset({"edge"}), "writers": frozenset({"agent"})}
    return Node(
        serve(required=True, tls=context, **named), shard, authority, authority.issue("edge")
    )


def spoken(address: str, name: str = "") -> dict[str, str]:
    return {"X-Forwarded-For": address} | ({"X-SSL-Client-CN": name} if name else {})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_clients_over_one_connection_are_never_mixed_up(node: Node, dialect: str) -> None:
    clients = [("203.0.113.1", "web-1"), ("203.0.113.2", "web-2"), ("2001:db8::3", "web-3")]
    order = [0, 0, 1, 0, 2, 2, 1, 1]
    with node.line(node.edge) as line:
        for number in order:
            assert line.write(spoken(*clients[number]), dialect) in (200, 201, 204)
        assert line.write(spoken("203.0.113.1"), dialect) in (400, 401, 403)  # no certificate
    found = [(one["peer"], one["from"]) for one in node.headers()]
    peers = ["203.0.113.1", "203.0.113.2", "[2001:db8::3]"]
    assert found == [(peers[number], f"cert:{clients[number][1]}") for number in order]


def test_a_token_goes_through_the_edge_and_the_address_is_the_clients(node: Node) -> None:
    shown = token(node.served.context, Scope.WRITE)
    other = node.served.context.tokens.create("other", [Scope.WRITE])
    with node.line(node.edge) as line:
        assert line.write({**spoken("203.0.113.1", "web-1"), **shown}) == 201
        assert line.write({**spoken("203.0.113.2"), "authorization": f"Bearer {other}"}) == 201
        assert line.write({**spoken("203.0.113.2"), "authorization": "Bearer x"}) == 401
        assert line.write(shown) == 201
    found = [(one["from"], str(one["peer"]).partition(":")[0]) for one in node.headers()]
    assert found == [
        ("tester", "203.0.113.1"),
        ("other", "203.0.113.2"),
        ("tester", "127.0.0.1"),
    ]


@pytest.mark.parametrize("required", [True, False])
def test_the_edge_itself_has_no_right(serve: Serve, tmp_path: Path, required: bool) -> None:
    """Also where the users of this machine need no token: who comes through an edge is none."""
    authority = Authority(tmp_path)
    issued, edge = authority.server(), authority.issue("edge")
    context = tls_context(issued.certificate, issued.key, authority.certificate)
    served = serve(required=required, tls=context, edges=frozenset({"edge"}))
    node = Node(served, None, authority, edge)  # type: ignore[arg-type]
    with node.line(edge) as line:
        for headers in ({}, spoken("203.0.113.1"), spoken("127.0.0.1")):
            for host in ({}, {"X-Forwarded-Host": "localhost"}):
                assert line.write({**headers, **host}) in (401, 403)
                assert line.ask("GET", "/api/v1/logs", {**headers, **host})[0] in (401, 403)
        assert line.ask("GET", "/healthz", {})[0] == 200


def test_a_certificate_gives_the_right_to_write_and_no_other(node: Node) -> None:
    with node.line(node.edge) as line:
        assert line.ask("GET", "/api/v1/logs", spoken("203.0.113.1", "web-1"))[0] == 403
        assert line.ask("GET", "/api/v1/tokens", spoken("203.0.113.1", "web-1"))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", "203.0.113.1, 10.0.0.1")],
        [("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", "10.0.0.1")],
        [("X-Forwarded-For", "unknown")],
        [("X-Forwarded-For", "203.0.113.1:80")],
        [("X-Forwarded-For", "")],
        [("X-SSL-Client-CN", "a,b")],
        [("X-SSL-Client-CN", "x" * 129)],
        [("X-SSL-Client-CN", "n\u00e4he")],
        [("X-SSL-Client-CN", "web-1"), ("X-SSL-Client-CN", "web-2")],
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_an_edge_may_not_say_ends_its_connection(
    node: Node, headers: list[tuple[str, str]], method: str
) -> None:
    shown = list(token(node.served.context).items())
    path = NATIVE if method == "POST" else "/api/v1/logs"
    with node.line(node.edge) as line:
        assert line.write([*spoken("203.0.113.1").items(), *shown]) == 201
        status, body = line.ask(method, path, [*headers, *shown])
        assert status == 400
        assert b"of the edge" in body or b"the edge names" in body
        assert line.closed
    assert node.shard.size == 1


def test_of_others_the_headers_change_nothing(node: Node) -> None:
    agent, stranger = node.authority.issue("agent"), node.authority.issue("stranger")
    said = {**spoken("203.0.113.1, junk", "edge"), "X-Forwarded-Proto": "gopher"}
    with node.line(agent) as line:
        assert line.write(said) == 201
    with node.line(stranger) as line:
        assert line.write(said) == 401
        assert line.write({**said, **token(node.served.context, Scope.WRITE)}) == 201
    found = [(one["from"], str(one["peer"]).partition(":")[0]) for one in node.headers()]
    assert found == [("cert:agent", "127.0.0.1"), ("tester", "127.0.0.1")]


def test_without_a_certificate_of_the_authority_there_is_no_word(
    node: Node, tmp_path: Path
) -> None:
    for who in (None, Authority(tmp_path, "others").issue("edge")):
        with (
            pytest.raises((ssl.SSLError, ConnectionError, AssertionError)),
            node.line(who) as line,
        ):
            line.ask("GET", "/healthz", {})


def test_pipelined_requests_of_two_clients_are_two(node: Node) -> None:
    requests = b""
    for number in range(1, 4):
        said = f"X-Forwarded-For: 203.0.113.{number}\r\nX-SSL-Client-CN: web-{number}\r\n"
        requests += f"POST {NATIVE} HTTP/1.1\r\nHost: {SERVER}\r\n{said}".encode()
        requests += b"Content-Type: text/plain\r\nContent-Length: 4\r\n\r\nline"
    with node.line(node.edge) as line:
        line.socket.sendall(requests)
        received = b""
        while received.count(b"HTTP/1.1 201 ") < 3:
            received += line._more()
    found = [(one["peer"], one["from"]) for one in node.headers()]
    assert found == [(f"203.0.113.{n}", f"cert:web-{n}") for n in range(1, 4)]


def test_trailers_name_nobody(node: Node) -> None:
    head = f"POST {NATIVE} HTTP/1.1\r\nHost: {SERVER}\r\nContent-Type: text/plain\r\n"
    head += "X-Forwarded-For: 203.0.113.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailers = "X-SSL-Client-CN: admin\r\nX-Forwarded-For: 10.0.0.1\r\n"
    with node.line(node.edge) as line:
        line.socket.sendall(f"{head}4\r\nline\r\n0\r\n{trailers}\r\n".encode())
        assert line.answer()[0] == 401
