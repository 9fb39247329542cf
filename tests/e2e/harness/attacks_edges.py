"""A real edge, rendered from a description as an operator's is, in front of recording nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from muniment.edge.balancer import Balancer
from muniment.edge.description import Description
from muniment.edge.renderers import RENDERERS, NoBinary
from tests.authority import SERVER, Authority, Issued

from .attacks_client import Client
from .attacks_recorder import Recorder
from .certificate import write_certificate
from .process import free_port
from .waiting import wait_for

KINDS = ("haproxy", "nginx", "envoy")
PATIENCE = 2
"""Seconds for a head and for a silent body: short, so that the slow are soon cut off."""

BODY = 256 << 10
NODES = "nodes.muniment.test"
"""A name that every node's certificate has beside its own: NGINX compares that one."""


@dataclass(frozen=True)
class Papers:
    """The certificates of an edge, of its nodes and of those who come to it."""

    clients: Authority
    strangers: Authority
    fleet: Authority
    edge: Path
    edge_to_nodes: Path
    good: Issued
    expired: Issued

    @classmethod
    def issue(cls, directory: Path) -> Papers:
        """Issues all of them below a directory."""
        (directory / "alone").mkdir()
        clients, strangers = Authority(directory, "clients"), Authority(directory, "strangers")
        fleet = Authority(directory, "fleet")
        edge = joined(fleet.server(), directory / "edge.pem")
        to_nodes = joined(fleet.issue("edge", [x509.DNSName("edge")]), directory / "to-nodes.pem")
        good = clients.issue("agent-7")
        expired = clients.issue("agent-7", expires=timedelta(days=-1))
        return cls(clients, strangers, fleet, edge, to_nodes, good, expired)

    def node(self, name: str) -> Issued:
        """The certificate of a node."""
        return self.fleet.issue(name, [x509.DNSName(name), x509.DNSName(NODES)])

    def stranger(self) -> Issued:
        """The certificate of the fleet's authority for what is no node."""
        return self.fleet.issue("somebody-else", [x509.DNSName("somebody-else")])

    def self_made(self) -> Issued:
        """A certificate that nobody but itself has signed."""
        pem = write_certificate(self.clients.certificate.parent / "alone")
        return Issued(pem, pem)


def joined(issued: Issued, path: Path) -> Path:
    """Writes certificate and key into one file, as an edge wants them."""
    path.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    path.chmod(0o600)
    return path


@dataclass
class AttackedEdge:
    """A running edge: what it is, where it listens, who stands behind it."""

    kind: str
    port: int
    papers: Papers
    nodes: Sequence[Recorder]
    balancer: Balancer

    @property
    def ingest(self) -> Sequence[Recorder]:
        """The nodes that take writes."""
        return self.nodes[:2]

    @property
    def query(self) -> Recorder:
        """The node that is read from."""
        return self.nodes[2]

    def client(self, source: str = "127.0.0.1", certificate: Issued | None = None) -> Client:
        """Somebody who comes from an address, with a certificate or without."""
        return Client(self.port, self.papers.fleet.certificate, source, certificate)

    def seen(self, mark: str) -> list[Any]:
        """What all nodes saw of a mark."""
        return [one for node in self.nodes for one in node.of(mark)]


def described(papers: Papers, port: int, nodes: Mapping[str, Any], **more: Any) -> Description:
    """The description of an edge on a port; `more` replaces or adds tables."""
    limits = {
        "answer": 5,
        "requests": 100_000,
        "token_requests": 100_000,
        "connections": 1_000,
        "body": BODY,
        "attachment": 4 * BODY,
        "header_timeout": PATIENCE,
        "body_timeout": PATIENCE,
        "client": PATIENCE,
        "idle": PATIENCE,
        **more.pop("limits", {}),
    }
    tls = {
        "certificate": papers.edge,
        "client_ca": papers.clients.certificate,
        "client_certificates": "optional",
        "nodes_ca": papers.fleet.certificate,
        "node_certificate": papers.edge_to_nodes,
        "nodes_name": NODES,
        **more.pop("tls", {}),
    }
    made = {
        "listen": {"https": [f"127.0.0.1:{port}"]},
        "tls": tls,
        "limits": limits,
        "node": [{"name": name, **node} for name, node in nodes.items()],
        **more,
    }
    return Description.model_validate(made)


@contextlib.contextmanager
def attacked(kind: str, directory: Path, **more: Any) -> Iterator[AttackedEdge]:
    """An edge in front of two ingest nodes and a query node that write everything down."""
    papers = Papers.issue(directory)
    nodes = [
        Recorder(papers.node(f"node-{number}"), papers.fleet.certificate, number)
        for number in (1, 2, 3)
    ]
    table = {
        f"node-{one.number}": {
            "address": f"127.0.0.1:{one.port}",
            "roles": ["query"] if one.number == 3 else ["ingest"],
        }
        for one in nodes
    }
    port = free_port()
    description = described(papers, port, table, **more)
    try:
        with running(kind, directory, description) as balancer:
            edge = AttackedEdge(kind, port, papers, nodes, balancer)
            wait_for(lambda: _serves(edge), f"{kind} to find its nodes")
            yield edge
    finally:
        for node in nodes:
            node.close()


def _serves(edge: AttackedEdge) -> bool:
    """Whether both kinds of nodes are reached."""
    assert edge.balancer.running, f"{edge.kind} ended"
    client = replace(edge.client(), certificate=edge.papers.good)
    with contextlib.suppress(OSError, ValueError):
        write = client.ask("POST", "/api/v1/logs/default/entries", body=b"x").status
        return write == 201 and client.ask("GET", "/api/v1/logs").status == 200
    return False


@contextlib.contextmanager
def running(kind: str, directory: Path, description: Description) -> Iterator[Balancer]:
    """The balancer itself on what was rendered for it, as `muniment edge run` starts it."""
    balancer: Balancer = import_module(RENDERERS[kind]).process(directory)
    for name, text in balancer.render(description).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    try:
        complaint = balancer.check(directory)
        assert complaint is None, complaint
        balancer.start()
    except NoBinary as error:
        pytest.skip(error.detail)
    try:
        yield balancer
    finally:
        balancer.stop(1)


__all__ = ["SERVER", "AttackedEdge", "Papers", "attacked", "described", "running"]
