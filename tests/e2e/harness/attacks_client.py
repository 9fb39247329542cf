"""A client that says over TLS whatever it is told to, from any address of loopback."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.authority import SERVER, Issued

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_MOMENT = 0.3
_HANDSHAKE = 30.0
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")


@dataclass(frozen=True)
class Said:
    """An answer: its status, its head with the status line, its body."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode("latin-1").lower() == name:
                return value.strip().decode("latin-1")
        return None


@dataclass(frozen=True)
class Client:
    """Where an edge is, and who asks: the address to come from, the certificate to show."""

    port: int
    trust: Path
    source: str = "127.0.0.1"
    certificate: Issued | None = None

    def tls(self, *protocols: str) -> ssl.SSLContext:
        """The context of a connection that offers these protocols."""
        context = ssl.create_default_context(cafile=str(self.trust))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        context.set_alpn_protocols(list(protocols) or ["http/1.1"])
        return context

    @contextlib.contextmanager
    def connection(
        self, *protocols: str, seconds: float = 10, context: ssl.SSLContext | None = None
    ) -> Iterator[ssl.SSLSocket]:
        """An open connection to the edge; `seconds` is the time-out of what is done with it."""
        made = context or self.tls(*protocols)  # first: an edge counts from the connection on
        address, source = ("127.0.0.1", self.port), (self.source, 0)
        with (
            socket.create_connection(address, _HANDSHAKE, source) as plain,
            made.wrap_socket(plain, server_hostname=SERVER) as stream,
        ):
            stream.settimeout(seconds)
            yield stream

    def send(
        self, *pieces: bytes, seconds: float = 10, pause: float = 0.0, moment: float = _MOMENT
    ) -> list[Said]:
        """Sends pieces and returns the answers; reads until the edge closes or says no more.

        No more is said when `seconds` have passed, or a `moment` after a whole answer.
        """
        with self.connection(seconds=seconds) as stream:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    stream.sendall(piece)
                    time.sleep(pause)
            return answers(received(stream, seconds, moment))

    def ask(
        self, method: str, path: str, *headers: str, body: bytes = b"", host: str = SERVER
    ) -> Said:
        """Sends one well-formed request and returns its answer, which there must be."""
        (said,) = self.send(request(method, path, *headers, body=body, host=host))
        return said

    def refused(self, sent: bytes = b"", context: ssl.SSLContext | None = None) -> bool:
        """Whether the handshake, or the first answer after it, ends without any HTTP."""
        try:
            with self.connection(context=context) as stream:
                stream.sendall(sent or request("GET", "/healthz"))
                return not received(stream, 5)
        except OSError:
            return True


def request(method: str, path: str, *headers: str, body: bytes = b"", host: str = SERVER) -> bytes:
    """Returns a well-formed request that asks for the connection to be closed."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close"]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def received(stream: ssl.SSLSocket, seconds: float, moment: float = _MOMENT) -> bytes:
    """Reads until the other side closes or says that it will; `seconds` at most.

    After a whole answer on a connection that stays open, another one has a `moment` to come.
    """
    held = bytearray()
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while (left := end - time.monotonic()) > 0:
            whole, last = _whole(bytes(held))
            if whole and last:
                break
            stream.settimeout(min(left, moment) if whole else left)
            data = stream.recv(65_536)
            if not data:
                break
            held += data
    return bytes(held)


def answers(data: bytes) -> list[Said]:
    """Cuts what an edge said into answers; one that is cut short is there as far as it came."""
    return _cut(data)[0]


def _whole(data: bytes) -> tuple[bool, bool]:
    """Whether all answers are whole, and whether the last one is the last of its connection."""
    found, rest, cut_short = _cut(data)
    whole = bool(found) and not rest and not cut_short
    return whole, whole and (found[-1].header("connection") or "").lower() == "close"


def _cut(data: bytes) -> tuple[list[Said], bytes, bool]:
    found, cut_short = [], False
    while (at := data.find(b"\r\n\r\n")) >= 0 and data.startswith(b"HTTP/1."):
        head, data = data[:at], data[at + 4 :]
        status = int(head.split(b" ", 2)[1])
        if status in (100, 102, 103):
            continue
        length = _LENGTH.search(head)
        if status in (101, 204, 304):
            body = b""
        elif _CHUNKED.search(head):
            body, data, cut_short = _unchunked(data)
        elif length is not None:
            cut_short = len(data) < int(length[1])
            body, data = data[: int(length[1])], data[int(length[1]) :]
        else:
            body, data, cut_short = data, b"", True
        found.append(Said(status, head, body))
    return found, data, cut_short


def _unchunked(data: bytes) -> tuple[bytes, bytes, bool]:
    parts: list[bytes] = []
    while (at := data.find(b"\r\n")) >= 0:
        size = int(data[:at].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts), data[at + 4 :], False
        parts.append(data[at + 2 : at + 2 + size])
        data = data[at + 2 + size + 2 :]
    return b"".join(parts), b"", True


def statuses(said: Sequence[Said]) -> list[int]:
    """The statuses of answers."""
    return [one.status for one in said]
