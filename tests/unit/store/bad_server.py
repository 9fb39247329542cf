"""S3 servers that misbehave: one that answers what it is told, and a proxy that loses answers."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from muniment.settings.store import Connection

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


def connection(port: int, *, tls: bool = False, **more: object) -> Connection:
    """Returns how a store reaches a server on this port; its time-out is short."""
    fields = {
        "url": "s3://bucket/p",
        "endpoint": f"{'https' if tls else 'http'}://127.0.0.1:{port}",
        "region": "us-east-1",
        "access_key": "AKIDSHOWN",
        "secret_key": "SECRETSHOWN",
        "timeout": 10,
        **more,
    }
    return Connection.model_validate(fields)


def refused(status: int, code: str) -> Answer:
    """Returns an error of S3."""
    body = f"<Error><Code>{code}</Code><Message>AKIDSHOWN may not</Message></Error>"
    return status, {"Content-Type": "application/xml"}, body.encode()


@dataclass
class BadServer:
    """Answers each request by `answer(method, target, body)`; None closes the connection."""

    answer: Callable[[str, str, bytes], Answer | None]
    delay: float = 0.0
    tls: tuple[Path, ssl.TLSVersion] | None = None
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends the server and its connections."""
        self._listener.close()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            peer = self._wrapped(peer)
            with peer, peer.makefile("rb") as stream:
                while line := stream.readline():
                    method, target, _ = line.decode().split()
                    headers = {}
                    while (header := stream.readline().decode().strip()) != "":
                        name, _, value = header.partition(":")
                        headers[name.lower()] = value.strip()
                    body = stream.read(int(headers.get("content-length", "0")))
                    self.seen.append((method, target, headers))
                    time.sleep(self.delay)
                    told = self.answer(method, target, body)
                    if told is None:
                        return
                    peer.sendall(_rendered(method, told))
        except (OSError, ValueError):
            return

    def _wrapped(self, peer: socket.socket) -> socket.socket:
        if self.tls is None:
            return peer
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.tls[0])
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = self.tls[1]
        return context.wrap_socket(peer, server_side=True)


def _rendered(method: str, told: Answer) -> bytes:
    status, headers, body = told
    lines = [f"HTTP/1.1 {status} Told"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if "Content-Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body)


@contextmanager
def bad_server(
    answer: Callable[[str, str, bytes], Answer | None],
    delay: float = 0.0,
    tls: tuple[Path, ssl.TLSVersion] | None = None,
) -> Iterator[BadServer]:
    """A server for the time of the block."""
    server = BadServer(answer, delay, tls)
    try:
        yield server
    finally:
        server.close()
