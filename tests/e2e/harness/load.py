"""Load generators that count what they did, and a driver for requests no generator would send."""

from __future__ import annotations

import datetime
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .certificate import HOST


def find(command: str, package: str) -> str:
    """Returns the path of an external program; skips the test where it is missing."""
    path = shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        pytest.skip(f"{command} is not installed (Debian package {package})")
    return path


def ab(url: str, requests: int, concurrency: int = 4, headers: Sequence[str] = ()) -> int:
    """Runs ApacheBench; returns the number of requests that it completed."""
    options = [part for header in headers for part in ("-H", header)]
    command = [find("ab", "apache2-utils"), "-q", "-l", "-n", str(requests)]
    text = _run([*command, "-c", str(concurrency), *options, url])
    assert "\nFailed requests:        0\n" in text, text
    found = re.search(r"^Complete requests: +(\d+)$", text, re.M)
    assert found, text
    return int(found[1])


def h2load(
    url: str, requests: int, clients: int = 2, headers: Sequence[str] = (), *, http1: bool = False
) -> int:
    """Runs h2load; returns the number of requests that it saw answered."""
    options = [part for header in headers for part in ("-H", header)]
    command = [find("h2load", "nghttp2-client"), "-n", str(requests), "-c", str(clients)]
    text = _run([*command, *(["--h1"] if http1 else ["-m", "4"]), *options, url])
    found = re.search(r"^requests: (\d+) total, \d+ started, (\d+) done, .* 0 failed", text, re.M)
    assert found, text
    return int(found[2])


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Exchange:
    """One connection as the client saw it."""

    sent: bytes
    received: bytes
    client_port: int
    began: datetime.datetime
    ended: datetime.datetime
    tls_version: str | None = None
    tls_cipher: str | None = None

    @property
    def status(self) -> int | None:
        """The status of the answer, None where no status line came."""
        found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", self.received)
        return int(found[1]) if found else None

    @property
    def milliseconds(self) -> float:
        """How long the client waited in all."""
        return (self.ended - self.began).total_seconds() * 1000


def exchange(port: int, sent: bytes, *, trust: Path | None = None, seconds: float = 8) -> Exchange:
    """Sends raw bytes and reads until the other side closes; over TLS where `trust` is given."""
    began = datetime.datetime.now(datetime.UTC)
    with socket.create_connection(("127.0.0.1", port), seconds) as plain:
        client_port = int(plain.getsockname()[1])
        if trust is None:
            received = _talk(plain, sent)
            return Exchange(sent, received, client_port, began, _now())
        context = ssl.create_default_context(cafile=str(trust))
        with context.wrap_socket(plain, server_hostname=HOST) as wrapped:
            received = _talk(wrapped, sent)
            cipher = wrapped.cipher()
            assert cipher is not None
            return Exchange(
                sent, received, client_port, began, _now(), wrapped.version(), cipher[0]
            )


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    """Returns a well-formed HTTP/1.1 request that asks for the connection to be closed."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *headers, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()


def _talk(connection: socket.socket, sent: bytes) -> bytes:
    received = bytearray()
    try:
        connection.sendall(sent)
        while data := connection.recv(65_536):
            received += data
    except (ConnectionError, ssl.SSLError):
        pass  # refused hostile input is often reset; what was received before still counts
    return bytes(received)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
