"""An address where somebody listens: HAProxy itself would share it with another HAProxy."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from edge_descriptions import MINIMAL, written

from muniment.edge import haproxy_process
from muniment.edge.balancer import EdgeFailing
from muniment.edge.haproxy_process import HAProxy
from muniment.settings.kinds import Address


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_does_not_start_beside_another(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy_process, "FREE_SECONDS", 0.1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        balancer = HAProxy(tmp_path)
        balancer.render(written(tmp_path, MINIMAL.replace("8443", str(port))))
        with pytest.raises(EdgeFailing, match=f"127.0.0.1:{port}: another process listens"):
            balancer.start()
    assert not balancer.running


def test_a_connection_that_has_the_port_by_chance_is_no_listener(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as connection:
            own = Address("127.0.0.1", connection.getsockname()[1])
            haproxy_process._wait_free([own])
        with pytest.raises(EdgeFailing):
            haproxy_process._wait_free([Address("127.0.0.1", server.getsockname()[1])])


def test_it_starts_where_nobody_listens_any_more(tmp_path: Path) -> None:
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("HAProxy is not installed here")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = other.accept()
            accepted.close()
    balancer = HAProxy(tmp_path)
    description = written(tmp_path, MINIMAL.replace("8443", str(port)))
    for name, text in balancer.render(description).items():
        (tmp_path / name).write_text(text)
    balancer.start()
    try:
        assert balancer.running
    finally:
        balancer.stop(1)
