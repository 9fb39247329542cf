"""Envoy as the edge: a bootstrap file, and the clusters in a file of their own.

Envoy watches the file of the clusters: who renders anew and renames it into place changes the nodes
of a running Envoy, and no connection of a client is closed for it. Envoy keeps no cache here: its
HTTP cache is not declared fit for production.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muniment.edge import paths
from muniment.edge.balancer import Balancer
from muniment.edge.description import Description
from muniment.edge.jinja import filled
from muniment.edge.parts import Node, Place, Role, Stream
from muniment.edge.renderers import binary, complaint

BOOTSTRAP, CLUSTERS = "envoy.yaml", "envoy-clusters.yaml"
CIPHERS = tuple(
    f"ECDHE-{key}-{way}"
    for key in ("ECDSA", "RSA")
    for way in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
)
FORGEABLE = (
    *paths.FORGED,
    *("x-envoy-external-address", "x-envoy-original-path", "x-envoy-internal"),
    *("x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms"),
)
"""Headers by which somebody outside might speak for the edge, or steer it."""

SLOWEST = 64 << 10
"""Bytes a second: a body that comes slower for long, beyond `body_timeout`, is cut off."""

_IDLE_TO_NODE = 30
"""Seconds, below a node's `keep_alive`: a write must not meet a connection that is just closing."""

_TYPE = '- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster'
_LOGS = "/(?:api/v1/logs|tlog|in)/"
ELSEWHERE, UNKNOWN = "-elsewhere", "-unknown"
_REFUSED = {
    ELSEWHERE: (421, "this log is kept elsewhere, or the path names none: use /in/LOG/..."),
    UNKNOWN: (404, "there is no log of that name"),
}
_SAFE = {"POST": False, "PUT": False, "DELETE": False}


@dataclass(frozen=True, slots=True)
class Route:
    """Requests of one path class that go to one cluster, or are answered with a status."""

    name: str
    pattern: str
    methods: str
    cluster: str = ""
    status: int = 0
    detail: str = ""
    logs: str = ""
    kind: str = ""
    streamed: bool = False
    keyed: bool = False
    retry_on: str = ""
    seconds: float = 0.0
    answer: int = 0


def render(description: Description) -> Mapping[str, str]:
    """Returns `envoy.yaml` and `envoy-clusters.yaml`; Envoy is started in their directory."""
    clusters = list(_clusters(description))
    values = {
        **{name: getattr(description, name) for name in type(description).model_fields},
        "js": json.dumps,
        "networks": _networks,
        "ciphers": CIPHERS,
        "forgeable": FORGEABLE,
        "needless": rf"[^?]*(?:{paths.NEEDLESS.replace('|$)', ')')}).*",
        "routes": list(_routes(description)),
        "allowed": _allowed(description),
        "streams": list(_streams(description)),
        "clusters": clusters,
        "writers": [one["name"] for one in clusters if one["name"] == "ingest"],
        "longest": _longest(description),
        "idle_to_node": _IDLE_TO_NODE,
        "port": description.listen.https[0].port,
    }
    return {
        BOOTSTRAP: filled("envoy.yaml.j2", values),
        CLUSTERS: filled("envoy-clusters.yaml.j2", values),
    }


def check(directory: Path) -> str | None:
    """Asks Envoy whether it would take the files. Raises NoBinary where there is none.

    Envoy validates nothing that it would read later: the clusters are shown to it as static ones.
    """
    command = shutil.which("envoy", path=str(Path(sys.executable).parent)) or binary("envoy")
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / CLUSTERS
        copy.write_text(static_clusters((directory / CLUSTERS).read_text()))
        for path in (Path(BOOTSTRAP), copy):
            found = complaint(
                [command, "--mode", "validate", "-l", "error", "-c", str(path)], directory
            )
            if found is not None:
                return found
    return None


def process(directory: Path) -> Balancer:
    """Returns an Envoy that can be started in a directory."""
    from muniment.edge.envoy_process import Envoy

    return Envoy(directory)


def static_clusters(text: str) -> str:
    """Returns a bootstrap file with the clusters of a discovery file, for the validation."""
    lines = text.replace("resources:\n", "", 1).replace(_TYPE, "-").splitlines()
    return "static_resources:\n  clusters:\n" + "".join(f"    {line}\n" for line in lines)


def _networks(networks: Sequence[Any]) -> str:
    return json.dumps(
        [{"address_prefix": str(n.network_address), "prefix_len": n.prefixlen} for n in networks]
    )


def _allowed(description: Description) -> list[tuple[str, str, Sequence[Any]]]:
    """The rules of RBAC: a kind, the paths of it as one pattern, and the networks that may."""
    return [
        (kind, "|".join(_unanchored(one.pattern) for one in paths.CLASSES if one.kind == kind), at)
        for kind in ("write", "read", "admin")
        if (at := getattr(description.allow, kind))
    ]


def _unanchored(pattern: str) -> str:
    """A pattern without its anchors: Envoy matches whole paths."""
    return "|".join(one.removeprefix("^").removesuffix("$") for one in pattern.split("$|^"))


def _routes(description: Description) -> Iterator[Route]:
    for one in paths.CLASSES:
        pattern = _unanchored(one.pattern)
        if one.own and description.many_write:
            methods = "|".join(one.methods)
            yield Route(one.name, pattern, methods, status=403, detail=paths.AT_EACH_NODE)
            continue
        for logs, residency in _divisions(description, one.open_log):
            for methods, keyed in _methods(one.methods, one.kind):
                yield _routed(description, one, pattern, methods, keyed, logs, residency)
    for one in paths.CLASSES:
        allow = ", ".join(one.methods)
        pattern = _unanchored(one.pattern)
        yield Route(f"{one.name} (other methods)", pattern, "", status=405, detail=allow)


def _divisions(description: Description, open_log: bool) -> Iterator[tuple[str, str]]:
    """Patterns of paths, and the jurisdiction of the nodes that may see them.

    An empty one is all nodes, ELSEWHERE and UNKNOWN are none: the log has to stay in another
    jurisdiction, or nobody has said where it may be.
    """
    if not description.divided:
        yield "", ""
        return
    own = description.jurisdiction
    for residency in description.residencies:
        foreign = own and residency != own
        yield _of_logs(description, residency), ELSEWHERE if foreign else residency
    if any(not log.residency for log in description.log):
        yield _of_logs(description, ""), ""
    yield rf"{_LOGS}[^/?].*", UNKNOWN
    yield "", own or (ELSEWHERE if open_log else "")


def _of_logs(description: Description, residency: str) -> str:
    """A pattern of the paths that name a log of this residency."""
    names = [log.name.replace(".", "[.]") for log in description.log if log.residency == residency]
    return rf"{_LOGS}(?:{'|'.join(names)})(?:[/?].*)?"


def _methods(methods: Sequence[str], kind: str) -> Iterator[tuple[str, bool]]:
    """The methods of one route each: those that may be repeated, and those only with a key."""
    safe = [method for method in methods if _SAFE.get(method, True)]
    unsafe = [method for method in methods if not _SAFE.get(method, True)]
    if safe:
        yield "|".join(safe), False
    if unsafe:
        if kind == "write":
            yield "|".join(unsafe), True
        yield "|".join(unsafe), False


def _routed(
    description: Description,
    one: paths.PathClass,
    pattern: str,
    methods: str,
    keyed: bool,
    logs: str,
    residency: str,
) -> Route:
    if residency in _REFUSED:
        status, detail = _REFUSED[residency]
        return Route(one.name, pattern, methods, status=status, detail=detail, logs=logs)
    limits = description.limits
    size = limits.attachment if one.name == "attachment" else limits.body
    again = keyed or methods.startswith(("GET", "HEAD"))
    # Not a byte of a request has left where these hold; `reset` and 503 only where it is harmless.
    retry_on = "connect-failure,refused-stream"
    if again:
        retry_on += ",reset,retriable-status-codes"
    endless = one.name == "search"  # a live tail is one of them; its node says something every 10 s
    return Route(
        one.name,
        pattern,
        methods,
        cluster=f"{one.role}-{residency}" if residency else one.role,
        logs=logs,
        kind=one.kind,
        streamed=one.name == "attachment",
        keyed=keyed,
        retry_on=retry_on,
        seconds=0 if endless else limits.body_timeout + limits.answer + size / SLOWEST,
        answer=0 if endless else limits.answer,
    )


def _longest(description: Description) -> int:
    """Seconds that the longest body may take."""
    limits = description.limits
    return int(limits.body_timeout + max(limits.body, limits.attachment) / SLOWEST)


def _clusters(description: Description) -> Iterator[Mapping[str, Any]]:
    scopes = [""]
    if description.divided:
        scopes += sorted({*description.residencies, description.jurisdiction} - {""})
    roles: tuple[Role, ...] = ("ingest", "query")
    for role in roles:
        for residency in scopes:
            nodes = description.nodes(role, residency)
            name = f"{role}-{residency}" if residency else role
            yield _cluster(description, name, [(node, node.address) for node in nodes], role)
    for stream in _streams(description):
        yield _cluster(description, stream["name"], stream["nodes"], "ingest", stream["one"])


def _cluster(
    description: Description,
    name: str,
    nodes: Sequence[tuple[Node, Place]],
    role: Role,
    stream: Stream | None = None,
) -> Mapping[str, Any]:
    near = [one for one in nodes if description.is_near(one[0])]
    far = [one for one in nodes if not description.is_near(one[0])]
    plain = description.tls.nodes_ca is None or (stream is not None and stream.plain_to_nodes)
    return {
        "name": name,
        "kind": "STRICT_DNS" if any(place.is_name for _, place in nodes) else "STATIC",
        "near": [_endpoint(*one, role) for one in near or far],
        "far": [_endpoint(*one, role) for one in far] if near else [],
        "names": {node.name: node.server_name for node, _ in nodes} if not plain else {},
        "stream": stream is not None,
        "connections": description.limits.node_connections * max(1, len(nodes)),
    }


def _endpoint(node: Node, place: Place, role: Role) -> Mapping[str, Any]:
    """A node that drains takes no more writes; it answers reads while it says that it is ready."""
    ready = node.state in ("ready", "starting") or (node.state == "draining" and role == "query")
    return {"name": node.name, "host": place.host, "port": place.port, "ready": ready}


def _streams(description: Description) -> Iterator[Mapping[str, Any]]:
    for number, one in enumerate(description.stream, start=1):
        residency = next((log.residency for log in description.log if log.name == one.log), "")
        nodes = [
            (node, node.listeners[one.protocol])
            for node in description.nodes("ingest", residency)
            if one.protocol in node.listeners
        ]
        yield {"name": f"{one.protocol}{number}", "one": one, "nodes": nodes}
