"""Amazon's balancers as the edge of a region: one CloudFormation template.

An Application Load Balancer with a web ACL in front of the nodes, a Network Load Balancer for
streams, and Route 53 records by which regions stand in for one another, those of a residency only
within their jurisdiction. A stack stands in each region, made from that region's own description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from muniment.edge.description import Description
from muniment.edge.jinja import filled
from muniment.edge.kinds import Place
from muniment.edge.parts import Node, Role
from muniment.edge.paths import AT_EACH_NODE
from muniment.edge.renderers import binary, complaint
from muniment.errors import SettingsError

TEMPLATE = "muniment-edge.yaml"
ROLES: tuple[Role, Role] = ("ingest", "query")
MAX_TARGETS = 100
VALUES_OF_A_RULE = 5
"""Conditions that a listener rule may have, methods and patterns together."""

WINDOW_SECONDS = 60
"""Over which the web ACL counts: the shortest there is."""

WRITES = (
    (("POST",), ("/api/v1/logs/{log}/entries",)),
    (("PUT",), ("/api/v1/logs/{log}/attachments",)),
    ((), ("/in/{log}/*",)),
)
"""Methods and wildcard patterns of what ingest nodes answer, where a path names a log."""

OPEN_WRITES = (
    ("/v1/logs", "/loki/*", "/api/prom/push", "/services/collector", "/services/collector/*"),
    ("/_*", "/*/_bulk", "/*/_doc", "/*/_create/*", "/cloudevents"),
    ("/kubernetes/audit", "/capture", "/api/v1/tokens*"),
)
"""Patterns of what ingest nodes answer without a log in the path."""

OWN = (
    "/api/v1/logs/*/holds",
    "/api/v1/logs/*/holds/*",
    "/api/v1/logs/*/retention",
    "/api/v1/stores*",
)
"""Patterns of what a node that writes says or does of its own shards alone."""

OF_A_LOG = ("/api/v1/logs/{log}/*", "/tlog/{log}/*", "/in/{log}/*")
INNER = ("/metrics", "/healthz", "/readyz")

Rule = Mapping[str, Any]


def render(description: Description) -> Mapping[str, str]:
    """Returns the template. Raises SettingsError where Amazon's balancers cannot do it."""
    many_write = description.many_write
    description = _own(description)
    targets = {role: _targets(description.nodes(role), role) for role in ROLES}
    places = [place for found in targets.values() for place in found]
    values = {
        **{name: getattr(description, name) for name in type(description).model_fields},
        "at_each_node": AT_EACH_NODE,
        "window": WINDOW_SECONDS,
        "groups": [{"title": role.title(), "nodes": found} for role, found in targets.items()],
        "rules": list(_rules(description, many_write)),
        "streams": [_stream(description, one) for one in enumerate(description.stream)],
        "residencies": description.residencies,
        "own_residency": description.jurisdiction in description.residencies,
        "allowed": _networks(description),
        "digits": len(str(int(description.limits.attachment))),
        "reached": sorted({(place.host, place.port) for place in places}),
        "node_ports": sorted({place.port for place in places}),
    }
    return {TEMPLATE: filled("aws.yaml.j2", values)}


def check(directory: Path) -> str | None:
    """Asks cfn-lint, which has the schemas of all resources. Raises NoBinary."""
    return complaint([binary("cfn-lint"), "--regions", "eu-central-1", "--", TEMPLATE], directory)


def _own(description: Description) -> Description:
    """The same with the nodes that this region's balancer may send to.

    A balancer spreads over what is in its target groups, near or far: those of other regions are
    reached through their own balancers, by their records.
    """
    if not description.node:
        raise SettingsError(
            "aws: name the nodes in [[node]] tables: there is nobody to follow them"
        )
    if description.divided and not description.jurisdiction:
        raise SettingsError(
            "aws: some logs have a residency, and nodes are elsewhere: set jurisdiction and "
            "region, and render a template for each region"
        )
    place, region = description.jurisdiction, description.region
    kept = [
        node
        for node in description.node
        if (not description.divided or node.jurisdiction == place)
        and (not region or node.region == region)
    ]
    return description.with_nodes(kept)


def _targets(nodes: tuple[Node, ...], role: str) -> list[Place]:
    if not nodes:
        raise SettingsError(f"aws: no node of this jurisdiction and region has the role {role}")
    if len(nodes) > MAX_TARGETS:
        raise SettingsError(f"aws: {len(nodes)} nodes are more than {MAX_TARGETS} targets")
    for node in nodes:
        if node.address.is_name:
            raise SettingsError(f"aws: node {node.name}: a target is an IP address")
    return [node.address for node in nodes]


def _rules(description: Description, many_write: bool) -> Iterator[Rule]:
    """The listener rules, by falling priority; what fits none is asked of the query nodes."""
    yield {"why": "Of one node", "patterns": INNER, "methods": (), "status": "404"}
    elsewhere = [
        log.name
        for log in description.log
        if description.divided and log.residency not in ("", description.jurisdiction)
    ]
    for log in elsewhere:
        patterns = tuple(one.format(log=log) for one in OF_A_LOG)
        yield {
            "why": f"{log} is kept in another jurisdiction",
            "patterns": patterns,
            "methods": (),
            "status": "421",
        }
    status = "403" if many_write else ""
    yield {"why": "Of each node that writes", "patterns": OWN, "methods": (), "status": status}
    for methods, given in WRITES:
        patterns = tuple(one.format(log="*") for one in given)
        assert len(methods) + len(patterns) <= VALUES_OF_A_RULE
        yield {"why": "Written", "patterns": patterns, "methods": methods, "status": ""}
    for patterns in OPEN_WRITES:
        yield {"why": "Written", "patterns": patterns, "methods": (), "status": ""}


def _stream(description: Description, numbered: tuple[int, Any]) -> Mapping[str, Any]:
    number, stream = numbered
    if not stream.tls or stream.plain_to_nodes:
        raise SettingsError(
            f"aws: stream on {stream.listen}: TLS goes through to the nodes' listeners as it came"
        )
    nodes = [
        node.listeners[stream.protocol]
        for node in description.nodes("ingest")
        if stream.protocol in node.listeners
    ]
    if not nodes or any(place.is_name for place in nodes):
        raise SettingsError(
            f"aws: stream on {stream.listen}: give nodes a listener with an IP address"
        )
    return {
        "title": f"{stream.protocol.title()}{number + 1}",
        "port": stream.listen.port,
        "nodes": nodes,
    }


def _networks(description: Description) -> Mapping[str, list[str]]:
    """The networks that may come in, by family; empty lists are everybody."""
    found: dict[str, list[str]] = {"IPV4": [], "IPV6": []}
    for network in description.allow.networks:
        found[f"IPV{network.version}"].append(str(network))
    return found
