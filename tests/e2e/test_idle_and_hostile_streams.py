"""Streams that say nothing, too little, rubbish or too much: the others go on, and it is counted.

Plain TCP, TLS, and behind the PROXY protocol; memory stays bounded throughout.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.authority import SERVER, Authority

from .harness.memory import MIB, watching
from .harness.process import free_port
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

MOST_RESIDENT = 400 * MIB
THOUSAND = 1_000
CONFIG = """
[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{tls}"
tls_certificate = "{certificate}"
tls_key = "{key}"
tls_client_ca = "{authority}"
max_connections = 2000

[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{proxied}"
udp = false
anonymous = true
proxy_from = ["127.0.0.0/8"]

[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{small}"
udp = false
max_connections = 2
idle = 8
"""


@dataclass
class Streams:
    """A server with a listener of each kind."""

    server: MunimentServer
    tls: int
    proxied: int
    small: int
    trust: ssl.SSLContext

    def count(self, name: str, receiver: str) -> float:
        """A number of the metrics page."""
        wanted = f'muniment_{name}{{receiver="{receiver}"}} '
        for line in self.server.http.get("/metrics").text.splitlines():
            if line.startswith(wanted):
                return float(line.removeprefix(wanted))
        raise AssertionError(f"no metric {wanted}")

    def connect_tls(self) -> ssl.SSLSocket:
        return self.trust.wrap_socket(connect(self.tls), server_hostname=SERVER)

    def received(self) -> list[tuple[dict[str, Any], bytes]]:
        """Header and bytes of all entries."""
        split = [split_entry(entry) for entry in self.server.stored()]
        return [(json.loads(header), raw) for header, raw in split]

    def wait_for(self, raw: bytes) -> dict[str, Any]:
        """Waits until an entry is there; returns its header."""

        def there() -> dict[str, Any]:
            return next((header for header, found in self.received() if found == raw), {})

        return wait_for(there, f"the entry {raw[:80]!r}")


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    directory: Path = tmp_path_factory.mktemp("streams")
    authority = Authority(directory)
    server = authority.server()
    client = authority.issue("edge", [x509.DNSName("edge-1.example.org")])
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    trust.load_cert_chain(client.certificate, client.key)
    ports = {name: free_port() for name in ("tls", "proxied", "small")}
    config = CONFIG.format(
        **ports,
        certificate=server.certificate,
        key=server.key,
        authority=authority.certificate,
    )
    env = {"MUNIMENT_SYSLOG_CONNECTIONS": "1100"}
    with serving(directory, env, config=config) as one, watching(one.process.pid) as watch:
        yield Streams(one, **ports, trust=trust)
        watch.look()
        print(f"\n{watch}")
        assert watch.peak < MOST_RESIDENT, watch


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60)


def wait_closed(connection: socket.socket) -> None:
    """Reads until the other side closes, which it must."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while connection.recv(65_536):
            pass


def test_a_thousand_idle_connections_hold_nobody_up(streams: Streams) -> None:
    port = streams.server.syslog_port
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(THOUSAND)]
        for number, one in enumerate(idle):
            one.sendall(b"<13>half a line"[: number % 16])
        wait_for(
            lambda: streams.count("receive_connections", "syslog-tcp") >= THOUSAND,
            "a thousand connections",
        )
        with connect(port) as sender:
            sender.sendall(b"<13>past a thousand\n")
        streams.wait_for(b"<13>past a thousand")
    wait_for(lambda: not streams.count("receive_connections", "syslog-tcp"), "their end")


def test_a_thousand_that_never_finish_a_handshake_give_way(streams: Streams) -> None:
    receiver = f"syslog-tls:{streams.tls}"
    with contextlib.ExitStack() as stack:
        for number in range(THOUSAND):
            stack.enter_context(connect(streams.tls)).sendall(b"\x16\x03\x01"[: number % 4])
        with streams.connect_tls() as sender:
            sender.sendall(b"<13>past them all\n")
        header = streams.wait_for(b"<13>past them all")
        assert header["from"] == "cert:edge-1.example.org"
        ended = streams.count("receive_crowded_out_total", receiver)
        assert ended >= THOUSAND - 256


def test_a_thousand_idle_connections_over_tls(streams: Streams) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(THOUSAND):
            stack.enter_context(streams.connect_tls()).sendall(b"<13>half")
        with streams.connect_tls() as sender:
            sender.sendall(b"<13>past a thousand over TLS\n")
        streams.wait_for(b"<13>past a thousand over TLS")


def test_a_line_of_a_hundred_megabytes_is_cut_and_others_go_on(streams: Streams) -> None:
    port = streams.server.syslog_port
    cut = streams.count("receive_cut_total", "syslog-tcp")
    total, piece = 100 * MIB, b"x" * MIB
    with connect(port) as huge, connect(port) as other:
        huge.sendall(b"<13>")
        for number in range(total // len(piece)):
            huge.sendall(piece)
            if number % 10 == 0:
                other.sendall(b"<13>beside it %d\n" % number)
        huge.sendall(b"\n<13>after it\n")
        other.sendall(b"<13>beside it, the last\n")
        streams.wait_for(b"<13>after it")
        streams.wait_for(b"<13>beside it, the last")
    assert streams.count("receive_cut_total", "syslog-tcp") == cut + 1
    told = [json.loads(raw) for header, raw in streams.received() if header["as"] == "muniment"]
    (notice,) = [one for one in told if one["kept"] + one["lost"] == total + 4]
    assert notice["action"] == "syslog.cut"


def test_a_slow_sender_loses_nothing_and_holds_nobody_up(streams: Streams) -> None:
    port = streams.server.syslog_port
    slow_line = b"<13>byte by byte"
    with connect(port) as slow, connect(port) as other:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, byte in enumerate(slow_line + b"\n"):
            slow.sendall(bytes([byte]))
            other.sendall(b"<13>quick %d\n" % number)
            streams.wait_for(b"<13>quick %d" % number)
        streams.wait_for(slow_line)


def test_garbage_is_kept_counted_or_refused_and_others_go_on(streams: Streams) -> None:
    choose = random.Random(13)
    refused = {
        "receive_tls_failed_total": f"syslog-tls:{streams.tls}",
        "receive_proxy_failed_total": f"syslog-tcp:{streams.proxied}",
    }
    before = {name: streams.count(name, receiver) for name, receiver in refused.items()}
    for port in (streams.server.syslog_port, streams.tls, streams.proxied):
        for _ in range(20):
            with connect(port) as one, contextlib.suppress(OSError):
                one.sendall(b"\xff" + choose.randbytes(choose.randint(1, 5_000)))
                one.shutdown(socket.SHUT_WR)
                wait_closed(one)
    with streams.connect_tls() as sender:
        sender.sendall(b"<13>over TLS after garbage\n")
    with connect(streams.proxied) as sender:
        sender.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 514\r\n<13>proxied\n")
    streams.wait_for(b"<13>over TLS after garbage")
    assert streams.wait_for(b"<13>proxied")["peer"] == "192.0.2.7:56324"
    for name, receiver in refused.items():
        assert streams.count(name, receiver) >= before[name] + 20
    said = streams.server.process.printed()
    assert "the connection does not begin with a PROXY header" in said
    assert "the TLS handshake failed" in said
    assert said.count("PROXY header") <= 3


def test_connections_over_the_bound_and_silent_ones_are_closed_and_counted(
    streams: Streams,
) -> None:
    receiver = f"syslog-tcp:{streams.small}"
    with connect(streams.small) as first, connect(streams.small) as second:
        wait_for(lambda: streams.count("receive_connections", receiver) == 2, "two connections")
        with connect(streams.small) as third:
            wait_closed(third)
        assert streams.count("receive_refused_total", receiver) == 1
        first.sendall(b"<13>and then silence")
        wait_closed(first)
        wait_closed(second)
    assert streams.count("receive_idle_total", receiver) == 2
    streams.wait_for(b"<13>and then silence")
