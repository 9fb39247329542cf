"""HAProxy's log ring over TLS, configured as the reference says: outages are replayed whole."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from tests.authority import SERVER, Authority

from .harness.load import ab, find
from .harness.page import documented
from .harness.process import Process, free_port
from .harness.rows import pick
from .harness.server import serving
from .harness.waiting import wait_for

REQUESTS = 300
NAME = "edge-1.example.org"
LISTENER = """
[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{port}"
tls_certificate = "{server.certificate}"
tls_key = "{server.key}"
tls_client_ca = "{authority.certificate}"
"""
FRONTEND = """
defaults
  log global
  mode http
  option dontlognull
  timeout connect 1s
  timeout client 2s
  timeout server 2s

frontend web
  bind 127.0.0.1:{port}
  option httplog
  http-request return status 200
"""


@contextlib.contextmanager
def balancer(directory: Path, authority: Authority, port: int) -> Iterator[int]:
    """HAProxy with a frontend that answers by itself; yields its port."""
    shown = authority.issue("edge", [x509.DNSName(NAME)])
    both = directory / "edge.pem"
    both.write_bytes(shown.key.read_bytes() + shown.certificate.read_bytes())
    replaced = {
        "log.example.com:6514": f"127.0.0.1:{port}",
        "log.example.com": SERVER,
        "/etc/haproxy/authority.pem": str(authority.certificate),
        "/etc/haproxy/edge-1.pem": str(both),
    }
    web = free_port()
    config = directory / "haproxy.cfg"
    ring = documented("syslog.md", "ring muniment", replaced)
    config.write_text(ring + FRONTEND.format(port=web))
    process = Process(
        [find("haproxy", "haproxy"), "-db", "-f", str(config)], directory / "haproxy.txt"
    )
    try:
        process.wait_listening(web)
        yield web
    finally:
        process.end_group()


def test_an_outage_is_replayed_over_tls(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path), free_port()
    config = LISTENER.format(port=port, server=authority.server(), authority=authority)
    with (
        serving(tmp_path, config=config) as server,
        balancer(tmp_path, authority, port) as web,
    ):
        expected: Counter[str] = Counter()

        def drive(phase: str) -> None:
            expected[f"/{phase}"] = ab(f"http://127.0.0.1:{web}/{phase}", REQUESTS)

        def counted() -> Counter[str]:
            rows = server.rows(f'via:syslog-tls sender:"cert:{NAME}" status:200')
            return Counter(pick(row, "http_request.url.path") for row in rows)

        drive("before")
        wait_for(lambda: counted() == expected, lambda: f"{expected}, there is {counted()}")
        server.stop()
        drive("away")
        server.start()
        wait_for(lambda: counted() == expected, lambda: f"{expected}, there is {counted()}")
        server.kill()
        drive("killed")
        server.start()
        drive("after")
        wait_for(lambda: counted() == expected, lambda: f"{expected}, there is {counted()}")
