"""The settings file of a node: made once, then it belongs to whoever runs the fleet."""

from __future__ import annotations

import json
from collections.abc import Mapping

from muniment.settings import Durability
from muniment.settings.fleet import STORE, Role
from muniment.up.places import Places
from muniment.up.plan import EdgeKind, Plan, Planned

EDGE = "edge"
"""The name in the certificate of the edge."""

NODES = "nodes.muniment.internal"
"""A name in the certificate of every node: some balancers ask all nodes for one and the same."""

FLEET = "fleet"
"""The name of the token that the nodes show each other."""

WATCHER = f"{Role.QUERY}-1"
LOG = "default"
ORIGIN = "fleet.local"
DRAIN_SECONDS = 2.0
HEARTBEAT_SECONDS = 1.0
LOST_AFTER_SECONDS = 5.0
TAKEOVER_AFTER = "15s"
SEGMENT_AGE = "1m"
"""Sealed and archived after a minute: whoever loses a disk soon has the rest elsewhere."""


def node_settings(plan: Plan, node: Planned, places: Places) -> str:
    """Returns the text of a node's `muniment.toml`."""
    identity = places.identity(node.name)
    replicated = plan.durability is Durability.REPLICATED
    tls: dict[str, object] = {
        "tls_certificate": str(identity.certificate),
        "tls_key": str(identity.key),
    }
    if _behind(plan):
        tls["tls_client_ca"] = str(places.authority.certificate)
    head: dict[str, object] = {
        "data": str(places.data(node.name)),
        "node": node.name,
        "roles": _roles(node),
        "listen": f"127.0.0.1:{node.port}",
        "origin": ORIGIN,
        "syslog": "off",
        "durability": plan.durability.value,
        "segment_age": SEGMENT_AGE,
        "worm_check": "off",
        "tokens": str(places.tokens),
        "require_tokens": True,
        "drain": DRAIN_SECONDS,
        **tls,
        **({"edges": [EDGE]} if _behind(plan) else {}),
    }
    parts = [f"# {node.name} of a fleet that `muniment up` made; it does not change this file.\n"]
    parts.append(lines(head))
    parts += [table("[[receive]]", one) for one in _receivers(node, tls if _behind(plan) else None)]
    parts.append(table("[[store]]", {"url": f"{plan.store}/archive"}))
    if replicated:
        secret = str(places.takeover_secret)
        parts.append(table("[wal]", {"url": f"{plan.store}/wal", "takeover_secret": secret}))
    parts.append(table("[fleet]", _fleet(node, places, replicated)))
    parts.append(table("[fleet.store]", {"url": f"{plan.store}/members"}))
    return "\n".join(parts)


def _roles(node: Planned) -> list[str]:
    """One query node watches what is missing, and records it in a shard of its own.

    The edge sends it no entries all the same.
    """
    if node.role is Role.INGEST:
        return [Role.INGEST]
    return [Role.INGEST, Role.QUERY, Role.WATCH] if node.name == WATCHER else [Role.QUERY]


def _behind(plan: Plan) -> bool:
    """Whether nobody but the edge and the other nodes is to speak to a node."""
    return plan.edge is not EdgeKind.NONE


def _receivers(node: Planned, tls: Mapping[str, object] | None) -> list[dict[str, object]]:
    """What the edge passes on over TLS, with the sender's address before it (PROXY protocol).

    Without an edge, the users of this machine send to the nodes, in plain text.
    """
    behind = {"proxy_from": ["127.0.0.1"], **tls} if tls is not None else {}
    found: list[dict[str, object]] = []
    for protocol, port in (("syslog", node.syslog), ("forward", node.forward)):
        if port is not None:
            one = {"protocol": protocol, "listen": f"127.0.0.1:{port}", **behind}
            found.append({**one, **({"udp": False} if protocol == "syslog" else {})})
    return found


def _fleet(node: Planned, places: Places, replicated: bool) -> dict[str, object]:
    identity = places.identity(node.name)
    return {
        "url": node.url,
        "members": [STORE],
        "heartbeat": HEARTBEAT_SECONDS,
        "lost_after": LOST_AFTER_SECONDS,
        "takeover": TAKEOVER_AFTER if replicated and node.role is Role.INGEST else "off",
        "ca": str(places.authority.certificate),
        "certificate": str(identity.certificate),
        "key": str(identity.key),
        "token": str(places.fleet_token),
    }


def table(heading: str, values: Mapping[str, object]) -> str:
    """Returns a table of TOML: its heading and its lines."""
    return f"{heading}\n{lines(values)}"


def lines(values: Mapping[str, object]) -> str:
    """Returns lines of TOML.

    Strings, numbers, booleans and lists of strings are written there as they are in JSON.
    """
    written = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return "".join(f"{line}\n" for line in written)
