"""Behind a real HAProxy that sends PROXY headers: the log names the client, not the balancer."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.authority import SERVER, Authority

from .harness.load import find
from .harness.process import Process, free_port
from .harness.server import MunimentServer, split_entry
from .harness.waiting import wait_for

LISTENERS = """
proxy_from = ["127.0.0.0/8"]

[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{plain}"
udp = false
anonymous = true
proxy_from = ["127.0.0.0/8"]

[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{tls}"
proxy_from = ["127.0.0.0/8"]
tls_certificate = "{server.certificate}"
tls_key = "{server.key}"
tls_client_ca = "{authority.certificate}"
"""
BALANCER = """
defaults
  mode tcp
  timeout connect 2s
  timeout client 10s
  timeout server 10s
"""
PAIR = """
listen {name}
  bind 127.0.0.1:{port}
  server one 127.0.0.1:{to} {way} check check-send-proxy inter 200ms
"""
WAYS = {"one": "send-proxy", "two": "send-proxy-v2"}


class Edge:
    """Muniment and, for each listener and version of the header, a port of HAProxy."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.to = {"plain": free_port(), "tls": free_port()}
        self.config = LISTENERS.format(
            **self.to, server=self.authority.server(), authority=self.authority
        )
        self.ports: dict[str, int] = {}

    def balancer(self, server: MunimentServer, directory: Path) -> Process:
        """Starts HAProxy."""
        text = BALANCER
        for kind, to in {**self.to, "http": server.port}.items():
            for version, way in WAYS.items():
                name = f"{kind}-{version}"
                self.ports[name] = free_port()
                text += PAIR.format(name=name, port=self.ports[name], to=to, way=way)
        config = directory / "haproxy.cfg"
        config.write_text(text)
        command = [find("haproxy", "haproxy"), "-db", "-f", str(config)]
        process = Process(command, directory / "haproxy.txt")
        process.wait_listening(self.ports["http-two"])
        return process

    def trust(self) -> ssl.SSLContext:
        """A sender's context, with a certificate."""
        shown = self.authority.issue("edge", [x509.DNSName("edge-1")])
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(shown.certificate, shown.key)
        return context


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, MunimentServer]]:
    find("haproxy", "haproxy")
    directory = tmp_path_factory.mktemp("proxied")
    edge = Edge(directory)
    server = MunimentServer(directory / "data", directory / "serve.txt", config=edge.config)
    # The server believes this test too, and so hears it through the balancer only.
    server.start(ready=False)
    process = edge.balancer(server, directory)
    server.http.close()
    server.http = httpx.Client(base_url=f"http://127.0.0.1:{edge.ports['http-two']}", timeout=60)
    try:
        server.wait_ready()
        yield edge, server
    finally:
        process.end_group()
        server.close()


def header_of(server: MunimentServer, raw: bytes) -> dict[str, str]:
    """Waits for an entry; returns its receipt header."""

    def there() -> dict[str, str]:
        for entry in server.stored():
            header, found = split_entry(entry)
            if found == raw:
                return dict(json.loads(header))
        return {}

    return wait_for(there, f"the entry {raw!r}")


@pytest.mark.parametrize("version", WAYS)
def test_syslog_over_tcp(running: tuple[Edge, MunimentServer], version: str) -> None:
    edge, server = running
    raw = b"<13>over TCP " + version.encode()
    with socket.create_connection(("127.0.0.1", edge.ports[f"plain-{version}"])) as sender:
        sender.sendall(raw + b"\n")
        header = header_of(server, raw)
        assert header["peer"] == f"127.0.0.1:{sender.getsockname()[1]}"


@pytest.mark.parametrize("version", WAYS)
def test_syslog_over_tls(running: tuple[Edge, MunimentServer], version: str) -> None:
    edge, server = running
    raw = b"<13>over TLS " + version.encode()
    plain = socket.create_connection(("127.0.0.1", edge.ports[f"tls-{version}"]))
    with edge.trust().wrap_socket(plain, server_hostname=SERVER) as sender:
        sender.sendall(raw + b"\n")
        header = header_of(server, raw)
        assert header["peer"] == f"127.0.0.1:{sender.getsockname()[1]}"
        assert (header["via"], header["from"]) == ("syslog-tls", "cert:edge-1")


@pytest.mark.parametrize("version", WAYS)
def test_http(running: tuple[Edge, MunimentServer], version: str) -> None:
    edge, server = running
    raw = b"over HTTP " + version.encode()
    with socket.create_connection(("127.0.0.1", edge.ports[f"http-{version}"])) as sender:
        sender.sendall(
            b"POST /api/v1/logs/default/entries?as=text HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(raw), raw)
        )
        header = header_of(server, raw)
        assert header["peer"] == f"127.0.0.1:{sender.getsockname()[1]}"


def test_health_checks_of_the_balancer_are_no_failures(
    running: tuple[Edge, MunimentServer],
) -> None:
    _, server = running
    text = server.http.get("/metrics").text
    failed = re.findall(r"^muniment_receive_(?:tls|proxy)_failed_total\{.*\} (.*)$", text, re.M)
    assert len(failed) >= 4
    assert set(failed) == {"0.0"}


def test_who_sends_no_header_is_not_served(running: tuple[Edge, MunimentServer]) -> None:
    edge, server = running
    for port in (*edge.to.values(), server.port):
        with socket.create_connection(("127.0.0.1", port), 30) as sender:
            sender.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sender.recv(100) == b""
