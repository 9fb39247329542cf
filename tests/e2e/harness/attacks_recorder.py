"""A node that writes down what an edge sends it, and judges it by the letter of RFC 9112.

It answers well-formed requests as a Muniment node might; what a node must never see is a `fault`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.authority import Issued

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*|\*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,16}")
_MAX_HEAD = 256 << 10


class Fault(Exception):
    """Bytes that two readers of HTTP/1.1 might read in two ways."""


@dataclass(frozen=True)
class Seen:
    """A request as it came: its head byte for byte, and its body taken out of its frame."""

    node: int
    connection: int
    method: str
    target: str
    head: bytes
    body: bytes
    peer: str

    def header(self, name: str) -> list[str]:
        """The values of all headers of a name, in the order in which they stand."""
        found = []
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode("latin-1").lower() == name:
                found.append(value.strip().decode("latin-1"))
        return found


Answer = Callable[[Seen], bytes | None]
"""What to say to a request; None closes the connection without a word."""


def say(status: int, body: bytes, *headers: str) -> bytes:
    """Returns an answer with a length."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Recorder:
    """A server on `port` over mutual TLS, from threads of its own. `number` tells nodes apart."""

    tls: Issued
    client_ca: Path
    number: int = 0
    seen: list[Seen] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    answer: Answer | None = None
    open_answers: int = 0
    """How many answers the edge has not taken whole yet."""

    def __post_init__(self) -> None:
        self._context = _context(self.tls, self.client_ca)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listening.getsockname()[1])
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def of(self, mark: str) -> list[Seen]:
        """Returns the requests whose head or body holds a mark."""
        wanted = mark.encode()
        with self._lock:
            return [one for one in self.seen if wanted in one.head or wanted in one.body]

    def become(self, tls: Issued) -> None:
        """Shows another certificate from now on, as who has taken this address would."""
        self._context = _context(tls, self.client_ca)
        self._hang_up()

    def close(self) -> None:
        """Ends the server and its connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            left = list(self._open)
        for one in left:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            plain.settimeout(60)
            with self._lock:
                self._count += 1
                connection = self._count
            threading.Thread(target=self._serve, args=(plain, connection), daemon=True).start()

    def _serve(self, plain: socket.socket, connection: int) -> None:
        wrap = self._context.wrap_socket
        with (
            contextlib.suppress(OSError, EOFError),
            plain,
            wrap(plain, server_side=True) as stream,
        ):
            with self._lock:
                self._open.add(stream)
            try:
                self._requests(stream, connection)
            except Fault as fault:
                with self._lock:
                    self.faults.append(str(fault))
            finally:
                with self._lock:
                    self._open.discard(stream)

    def _requests(self, stream: ssl.SSLSocket, connection: int) -> None:
        peer = _name(stream)
        reader = _Reader(stream)
        while True:
            head = reader.head()
            method, target, framing = _judged(head)
            if any(line.lower() == b"expect: 100-continue" for line in head.split(b"\r\n")):
                stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = reader.body(framing)
            one = Seen(self.number, connection, method, target, head, body, peer)
            with self._lock:
                self.seen.append(one)
            said = (self.answer or plain_answer)(one)
            if said is None:
                return
            self._say(stream, _without_body(said) if method == "HEAD" else said)

    def _say(self, stream: ssl.SSLSocket, said: bytes) -> None:
        with self._lock:
            self.open_answers += 1
        try:
            stream.sendall(said)
        finally:
            with self._lock:
                self.open_answers -= 1


def _context(tls: Issued, client_ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def plain_answer(one: Seen) -> bytes:
    """Says which node answered, and for what."""
    kind = "Content-Type: text/plain"
    if one.method == "POST":
        return say(201, b'{"count":1}', "Content-Type: application/json")
    return say(200, f"node {one.node} {one.target}\n".encode(), kind)


def _without_body(said: bytes) -> bytes:
    return said[: said.index(b"\r\n\r\n") + 4]


def _name(stream: ssl.SSLSocket) -> str:
    subject = (stream.getpeercert() or {}).get("subject", ())
    names = [str(pair[1]) for part in subject for pair in part if pair[0] == "commonName"]
    return names[0] if names else ""


class _Reader:
    """Bytes of a connection, a head or a body at a time."""

    def __init__(self, stream: ssl.SSLSocket) -> None:
        self._stream, self._held = stream, bytearray()

    def _more(self) -> None:
        data = self._stream.recv(65_536)
        if not data:
            raise EOFError
        self._held += data

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > _MAX_HEAD:
                raise Fault(f"no end of a head in {len(self._held)} bytes")
            self._more()
        taken = self._take(at)
        self._take(len(mark))
        return taken

    def head(self) -> bytes:
        """The request line and the headers, without the empty line."""
        return self._until(b"\r\n\r\n")

    def body(self, framing: int | None) -> bytes:
        """A body of so many bytes; None: in chunks."""
        if framing is not None:
            return self._take(framing)
        parts = []
        while True:
            size = self._until(b"\r\n")
            if not _CHUNK.fullmatch(size):
                raise Fault(f"the size of a chunk: {size!r}")
            if int(size, 16) == 0:
                break
            parts.append(self._take(int(size, 16)))
            if self._take(2) != b"\r\n":
                raise Fault("a chunk without its end")
        while self._until(b"\r\n"):
            pass
        return b"".join(parts)


def _judged(head: bytes) -> tuple[str, str, int | None]:
    """Returns method, target, and the length of the body (None: chunks). Raises Fault."""
    line, *lines = head.split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise Fault(f"request line {line!r}")
    named: dict[str, list[str]] = {}
    for one in lines:
        header = _HEADER.fullmatch(one)
        if header is None:
            raise Fault(f"header {one!r} of {line!r}")
        named.setdefault(header[1].decode().lower(), []).append(header[2].decode("latin-1"))
    if len(named.get("host", [])) != 1 and (named.get("host") or found[3] == b"1"):
        raise Fault(f"hosts {named.get('host')} of {line!r}")
    lengths, codings = named.get("content-length", []), named.get("transfer-encoding", [])
    if codings:
        if lengths or found[3] == b"0" or [one.lower() for one in codings] != ["chunked"]:
            raise Fault(f"coding {codings} and length {lengths} of {line!r}")
        return found[1].decode(), found[2].decode(), None
    if len(lengths) > 1 or any(not re.fullmatch("[0-9]{1,15}", one) for one in lengths):
        raise Fault(f"lengths {lengths} of {line!r}")
    return found[1].decode(), found[2].decode(), int(lengths[0]) if lengths else 0
