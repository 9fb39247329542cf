"""What the command line shows to a node that asks for a certificate, and what it says without."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from muniment.cli.client import Server, Unreachable
from muniment.clock import SystemClock
from muniment.errors import SettingsError
from muniment.log.disk import PosixDisk
from muniment.up.authority import Authority
from muniment.up.places import Identity


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"status":"ok"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """The test's output is no access log."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    disk, clock = PosixDisk(), SystemClock()
    place = Identity(tmp_path / "ca.pem", tmp_path / "ca.key")
    authority = Authority.open(place, disk=disk, clock=clock)
    for name in ("node", "client"):
        identity = Identity(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        authority.issue(name, identity, ["127.0.0.1"])
    return tmp_path


@pytest.fixture
def node(folder: Path) -> Iterator[str]:
    """The address of a server that asks for a certificate of its own authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "node.pem", folder / "node.key")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_certificate_of_the_environment_is_shown(
    node: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIMENT_CERT", str(folder / "client.pem"))
    monkeypatch.setenv("MUNIMENT_KEY", str(folder / "client.key"))
    with Server(node, ca=folder / "ca.pem") as server:
        assert server.get_json("/healthz") == {"status": "ok"}


def test_one_file_can_hold_both(node: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = folder / "both.pem"
    both.write_bytes((folder / "client.pem").read_bytes() + (folder / "client.key").read_bytes())
    monkeypatch.setenv("MUNIMENT_CERT", str(both))
    with Server(node, ca=folder / "ca.pem") as server:
        assert server.get_json("/healthz") == {"status": "ok"}


def test_without_one_the_error_says_how_to_name_it(node: str, folder: Path) -> None:
    with Server(node, ca=folder / "ca.pem") as server, pytest.raises(Unreachable) as raised:
        server.get_json("/healthz")
    assert "MUNIMENT_CERT" in raised.value.detail


def test_an_authority_that_is_not_known(node: str) -> None:
    with Server(node) as server, pytest.raises(Unreachable) as raised:
        server.get_json("/healthz")
    assert "--ca" in raised.value.detail


def test_a_file_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in (folder / "nowhere.pem", folder / "client.key"):
        monkeypatch.setenv("MUNIMENT_CERT", str(missing))
        with pytest.raises(SettingsError) as raised:
            Server("https://127.0.0.1:1", ca=folder / "ca.pem")
        assert "MUNIMENT_CERT" in raised.value.detail
