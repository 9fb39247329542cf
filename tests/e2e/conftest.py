"""The running systems that several modules look at; each worker starts them once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .harness.ceph import ceph  # noqa: F401 (a session has one gateway)
from .harness.haproxy import HAProxy, haproxy
from .harness.nginx import Nginx, nginx
from .harness.server import MunimentServer, serving
from .harness.small_disk import small_disk  # noqa: F401 (a fixture)


@dataclass(frozen=True)
class Edge:
    """HAProxy and the Muniment that it logs to."""

    muniment: MunimentServer
    haproxy: HAProxy


@dataclass(frozen=True)
class NginxEdge:
    """NGINX and the Muniment that it logs to."""

    muniment: MunimentServer
    nginx: Nginx


@pytest.fixture
def muniment_server(tmp_path: Path) -> Iterator[MunimentServer]:
    """A server of its own for one test."""
    with serving(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """HAProxy logging to Muniment by UDP and by TCP."""
    directory = tmp_path_factory.mktemp("haproxy")
    with serving(directory) as server, haproxy(directory, server.syslog_port) as balancer:
        yield Edge(server, balancer)


@pytest.fixture(scope="session")
def nginx_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxEdge]:
    """NGINX logging to Muniment by UDP."""
    directory = tmp_path_factory.mktemp("nginx")
    directory.chmod(0o755)  # its workers are another user
    with serving(directory) as server, nginx(directory, server.syslog_port) as balancer:
        yield NginxEdge(server, balancer)
