"""A cluster's own edge: objects of the Gateway API, of ingress-nginx, and of networks.

The nodes are pods behind a headless Service, or machines that the cluster reaches by address. A
Gateway or an Ingress controller is shared with others: the nodes must not believe what it says of
its clients, so its certificate is none of those in their setting `edges`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from muniment.edge.description import Description
from muniment.edge.jinja import filled
from muniment.edge.kinds import Place
from muniment.edge.kubernetes_routes import ANY, Backend, Route, backends, routes
from muniment.edge.parts import Node
from muniment.errors import SettingsError

GATEWAY, INGRESS = "gateway.yaml", "ingress-nginx.yaml"
NODES, NETWORK = "nodes.yaml", "network-policy.yaml"
MAX_MATCHES = 64
MAX_ADDRESSES = 1_000
NAMESPACE = "muniment"
"""Where the objects go, unless the nodes' names tell it."""

_IN_CLUSTER = re.compile(
    r"(?:[a-z0-9-]+\.)?(?P<service>[a-z][a-z0-9-]*)\.(?P<space>[a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?"
)

Object = Mapping[str, Any]


def render(description: Description) -> Mapping[str, str]:
    """Returns the objects, by file; a cluster needs those of its Gateway or of its Ingress.

    Raises SettingsError where a node is neither an address nor a name in the cluster, or where the
    nodes of one Service have certificates for several names.
    """
    found = backends(description)
    places = [place for one in found for place in _places(one)]
    inside = [match for place in places if (match := _IN_CLUSTER.fullmatch(place.host))]
    if inside and len(inside) != len(places):
        raise SettingsError("nodes: either all are names in the cluster, or all are addresses")
    spaces = sorted({match["space"] for match in inside})
    if len(spaces) > 1:
        raise SettingsError(f"nodes: they are in several namespaces: {', '.join(spaces)}")
    services = {(one.role, one.scope): _service(description, one, bool(inside)) for one in found}
    values = {
        **{name: getattr(description, name) for name in type(description).model_fields},
        "namespace": spaces[0] if spaces else NAMESPACE,
        "services": list(services.values()),
        "targets": list({one["name"]: one for one in services.values()}.values()),
        "inside": bool(inside),
        "rules": list(_rules(description, services)),
        "paths": list(_paths(description, services)),
        "https_port": description.listen.https[0].port,
    }
    files = {
        GATEWAY: filled("kubernetes-gateway.yaml.j2", values),
        INGRESS: filled("kubernetes-ingress.yaml.j2", values),
        NETWORK: filled("kubernetes-network.yaml.j2", values),
    }
    return files if inside else files | {NODES: filled("kubernetes-nodes.yaml.j2", values)}


def _places(backend: Backend) -> Iterator[Place]:
    for node in backend.nodes:
        if node.address.is_name and not _IN_CLUSTER.fullmatch(node.address.host):
            raise SettingsError(
                f"node {node.name}: {node.address.host} is no name in the cluster, such as "
                "NODE.SERVICE.NAMESPACE.svc; write its IP address, and tls_name"
            )
        yield node.address


def _service(description: Description, backend: Backend, inside: bool) -> Object:
    """What a template needs to know of a Service."""
    name = f"{description.name}-{backend.name}"
    ports = {node.address.port for node in backend.nodes}
    if len(ports) > 1:
        raise SettingsError(f"nodes of {backend.name}: a Service has one port for all of them")
    common = description.tls.nodes_name
    tls_names = {common or _tls_name(node, inside) for node in backend.nodes}
    if len(tls_names) > 1:
        raise SettingsError(
            f"nodes of {backend.name}: set tls.nodes_name, which all their certificates hold: a "
            "Gateway checks one name for a Service"
        )
    if inside:
        found = {_IN_CLUSTER.fullmatch(node.address.host)["service"] for node in backend.nodes}  # type: ignore[index]
        if len(found) > 1:
            raise SettingsError(f"nodes of {backend.name}: they are behind several Services")
        name = found.pop()
    return {
        "name": name,
        "role": backend.role,
        "port": ports.pop(),
        "tls_name": tls_names.pop(),
        "slices": [] if inside else list(_slices(backend.nodes)),
    }


def _tls_name(node: Node, inside: bool) -> str:
    """The name in the certificate; pods of one Service have a certificate for the Service."""
    found = _IN_CLUSTER.fullmatch(node.address.host) if inside and not node.tls_name else None
    return f"{found['service']}.{found['space']}.svc" if found else node.server_name


def _slices(nodes: Sequence[Node]) -> Iterator[Object]:
    """The addresses of a Service, by their family."""
    if len(nodes) > MAX_ADDRESSES:
        raise SettingsError(f"a Service has {MAX_ADDRESSES:,} addresses at most")
    for family, mark in (("IPv4", "."), ("IPv6", ":")):
        ends = [
            {
                "address": node.address.host,
                "node": node.name,
                "ready": node.state == "ready",
                "draining": node.state == "draining",
                "zone": node.region,
            }
            for node in nodes
            if mark in node.address.host
        ]
        if ends:
            yield {"family": family, "ends": ends}


def _rules(
    description: Description, services: Mapping[tuple[str, str], Object]
) -> Iterator[Object]:
    """Rules of an HTTPRoute: expressions with a method each, 64 at most, and their Service."""
    for key, service in services.items():
        found = [one for one in routes(description) if (one.role, one.scope) == key]
        matches = iter([(one.expression, method) for one in found for method in one.methods])
        while part := list(islice(matches, MAX_MATCHES)):
            yield {"service": service, "matches": part, "name": f"{key[0]}-{key[1]}"}


def _paths(description: Description, services: Mapping[tuple[str, str], Object]) -> list[Object]:
    """An Ingress for each Service: what it takes by its path alone."""

    def taken(key: tuple[str, str]) -> list[str]:
        found = [one for one in routes(description) if (one.role, one.scope) == key]
        return list(dict.fromkeys(path for one in found for path in _alone(one)))

    return [
        {"name": _dashed(key), "role": key[0], "service": service, "paths": paths}
        for key, service in services.items()
        if (paths := taken(key))
    ]


def _alone(route: Route) -> Iterator[str]:
    """The expression in parts that each begin with a slash: NGINX puts `^` before them itself."""
    if not route.by_method:
        for part in re.split(r"\|(?=\^)", route.expression):
            yield from _absolute(part.removeprefix("^"))


def _absolute(expression: str) -> Iterator[str]:
    """The same without and with each optional group that it begins with."""
    if not expression.startswith("(?:"):
        yield expression
        return
    depth = 0
    for place, character in enumerate(expression):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            inner, rest = expression[3:place], expression[place + 1 :].removeprefix("?")
            break
    yield from _absolute(rest)
    for more in _absolute(rest):
        yield f"{inner}{more}"


def _dashed(key: tuple[str, str]) -> str:
    return key[0] if key[1] == ANY else "-".join(key)
