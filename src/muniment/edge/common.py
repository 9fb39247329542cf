"""What the templates of HAProxy and NGINX share: who is asked for what, which paths are what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from muniment.edge import paths
from muniment.edge.description import Description
from muniment.edge.kinds import Place
from muniment.edge.parts import Node, Role, Stream
from muniment.settings.kinds import Network

ANY = "any"
NOBODY = ip_network("255.255.255.255/32")
"""A list of networks that has nobody in it, where an empty one would mean everybody."""
ROLES: tuple[Role, Role] = ("ingest", "query")


@dataclass(frozen=True, slots=True)
class Server:
    """A node in a group: `near` ones are asked first, a `draining` one takes no more writes."""

    node: Node
    address: Place
    near: bool
    draining: bool

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes of a role, and of one jurisdiction unless `scope` is `any`."""

    role: Role
    scope: str
    servers: Sequence[Server]


@dataclass(frozen=True, slots=True)
class Relay:
    """A stream listener and the nodes behind it. `plain`: they are spoken to without TLS."""

    name: str
    stream: Stream
    plain: bool
    scope: str
    allowed: Sequence[Network]
    servers: Sequence[Server]


def scopes(description: Description) -> tuple[str, ...]:
    """Every set of nodes that something is routed to: all, and those of one jurisdiction."""
    own = {description.jurisdiction} - {""} if description.divided else set()
    return (ANY, *sorted({*description.residencies, *own}))


def groups(description: Description) -> Iterator[Group]:
    """Returns the nodes of each role in each scope."""
    for scope in scopes(description):
        for role in ROLES:
            nodes = description.nodes(role, "" if scope == ANY else scope)
            found = [_server(description, node, node.address, role == "ingest") for node in nodes]
            yield Group(role, scope, _near_first(found))


def relays(description: Description) -> Iterator[Relay]:
    """Returns the stream listeners."""
    residency = {log.name: log.residency for log in description.log}
    for number, stream in enumerate(description.stream, 1):
        scope = residency.get(stream.log, "")
        found = []
        for node in description.nodes("ingest", scope):
            place = node.listeners.get(stream.protocol)
            if place is not None:
                found.append(_server(description, node, place, True))
        plain = stream.plain_to_nodes or description.tls.nodes_ca is None
        name = f"{stream.protocol}{number}"
        allowed = writers(description)
        yield Relay(name, stream, plain, scope or ANY, allowed, _near_first(found))


def writers(description: Description) -> tuple[Network, ...]:
    """Returns the networks that may write: those of `write` inside those of all."""
    everywhere, write = description.allow.networks, description.allow.write
    if not everywhere or not write:
        return everywhere or write
    pairs = [(one, other) for one in write for other in everywhere]
    narrower = [one if one.prefixlen >= other.prefixlen else other for one, other in pairs]
    overlapping = [one.overlaps(other) for one, other in pairs]
    found = tuple(dict.fromkeys(n for n, both in zip(narrower, overlapping, strict=True) if both))
    return found or (NOBODY,)


def common(description: Description) -> dict[str, Any]:
    """Returns the values that both templates take."""
    port = description.listen.https[0].port
    return {
        **{name: getattr(description, name) for name in type(description).model_fields},
        "paths": paths,
        "https_port": "" if port == 443 else f":{port}",
        "residencies": description.residencies,
        "divided": description.divided,
        "refused": [one.name for one in paths.CLASSES if one.own and description.many_write],
        "scopes": scopes(description),
        **_classes(),
    }


def _classes() -> Mapping[str, Any]:
    found = paths.CLASSES
    kinds = ("write", "read", "admin")
    return {
        "classes": found,
        "of_kind": {kind: [one.name for one in found if one.kind == kind] for kind in kinds},
        "of_ingest": [one.name for one in found if one.role == "ingest"],
        "lasting": [one.name for one in found if one.lasting],
        "static": [one.name for one in found if one.static],
        "open_log": [one.name for one in found if one.open_log],
    }


def _server(description: Description, node: Node, place: Place, writes: bool) -> Server:
    draining = writes and node.state == "draining"
    return Server(node, place, description.is_near(node), draining)


def _near_first(servers: list[Server]) -> list[Server]:
    """Where no node is near, all are asked alike."""
    if not any(server.near for server in servers):
        return [Server(one.node, one.address, True, one.draining) for one in servers]
    return sorted(servers, key=lambda server: not server.near)
