"""HAProxy as the edge: `haproxy.cfg` and the map of residencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from muniment.edge.balancer import Balancer
from muniment.edge.common import ANY, Relay, Server, common, groups, relays
from muniment.edge.description import Description
from muniment.edge.jinja import filled, quoted
from muniment.edge.kinds import Place
from muniment.edge.parts import Node
from muniment.edge.renderers import binary, complaint

CONFIG = "haproxy.cfg"
RESIDENCY = "residency.map"
RUNTIME = "/run/muniment-edge"


def render(description: Description, runtime: str = RUNTIME) -> Mapping[str, str]:
    """Returns `haproxy.cfg` and `residency.map`; `runtime` is where the sockets are made."""
    values = {
        **common(description),
        "runtime": runtime,
        "trust": _trust(description),
        "by_name": any(place.is_name for node in description.node for place in _places(node)),
        "has_query": bool(description.nodes("query")),
        "backends": [
            {
                "name": f"{one.role}.{one.scope}",
                "role": one.role,
                "nodes": [_line(description, server, check=True) for server in one.servers],
            }
            for one in groups(description)
        ],
        "streams": [_stream(description, one) for one in relays(description)],
    }
    return {CONFIG: filled("haproxy.cfg.j2", values), RESIDENCY: _map(description)}


def check(directory: Path) -> str | None:
    """Asks HAProxy whether it would take the files. Raises NoBinary where there is none."""
    said = complaint([binary("haproxy"), "-c", "-f", CONFIG], directory)
    if said is None:
        return None
    lines = [line for line in said.splitlines() if not line.startswith("[NOTICE]")]
    return "\n".join(lines) or said


def process(directory: Path) -> Balancer:
    """Returns a HAProxy that can be started in a directory."""
    from muniment.edge.haproxy_process import HAProxy

    return HAProxy(directory)


def write_servers(description: Description) -> Iterator[tuple[str, str]]:
    """Returns backend and server of every place that writes go to."""
    for one in groups(description):
        if one.role == "ingest":
            yield from ((f"{one.role}.{one.scope}", server.name) for server in one.servers)


def _line(description: Description, server: Server, *, check: bool) -> Mapping[str, Any]:
    tls, name = "", server.node.server_name
    if description.tls.nodes_ca is not None:
        tls = f" ssl {_trust(description)} sni str({name}) verifyhost {name}"
        tls += f" check-sni {name} alpn http/1.1" if check else ""
    return {
        "name": server.name,
        "address": server.address,
        "tls": tls,
        "resolve": " resolvers system init-addr last,libc,none" if server.address.is_name else "",
        "near": server.near,
        "draining": server.draining,
    }


def _stream(description: Description, relay: Relay) -> Mapping[str, Any]:
    lines = [_line(description, server, check=False) for server in relay.servers]
    return {
        "name": relay.name,
        "listen": relay.stream.listen,
        "tls": relay.stream.tls,
        "allowed": relay.allowed,
        "tracked": f"ingest.{relay.scope}",
        "nodes": [{**line, "tls": ""} for line in lines] if relay.plain else lines,
    }


def _trust(description: Description) -> str:
    tls = description.tls
    shown = f" crt {quoted(tls.node_certificate)}" if tls.node_certificate else ""
    return f"verify required ca-file {quoted(tls.nodes_ca)}{shown}" if tls.nodes_ca else ""


def _places(node: Node) -> list[Place]:
    return [node.address, *node.listeners.values()]


def _map(description: Description) -> str:
    lines = ["# A log, and where it is answered: a jurisdiction, or any node."]
    lines += [f"{log.name} {log.residency or ANY}" for log in description.log]
    return "\n".join(lines) + "\n"
