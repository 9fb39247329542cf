"""Descriptions of fleets for the renderers of clusters and clouds."""

from __future__ import annotations

from pathlib import Path

from muniment.edge.description import Description, load

HEAD = """
{place}
[listen]
https = ["0.0.0.0:443"]
[tls]
certificate = "edge.pem"
nodes_ca = "ca.pem"
node_certificate = "node.pem"
"""
NODE = """
[[node]]
name = "{name}"
address = "{address}"
roles = [{roles}]
jurisdiction = "{place}"
region = "{region}"
state = "{state}"
"""
LOGS = {"default": "", "payments.card": "eu", "sales": "us", "clicks": ""}


def node(
    name: str,
    address: str,
    roles: str = "ingest,query",
    place: str = "",
    region: str = "",
    state: str = "ready",
    tls_name: str = "nodes.example.com",
    more: str = "",
) -> str:
    """Returns a [[node]] table; `more` are further lines of it."""
    quoted = ", ".join(f'"{role}"' for role in roles.split(","))
    table = NODE.format(
        name=name, address=address, roles=quoted, place=place, region=region, state=state
    )
    return table + (f'tls_name = "{tls_name}"\n' if tls_name else "") + more


def logs() -> str:
    """Returns the [[log]] tables of `LOGS`."""
    return "".join(
        f'[[log]]\nname = "{name}"\n' + (f'residency = "{place}"\n' if place else "")
        for name, place in LOGS.items()
    )


def divided(
    directory: Path, place: str = "eu", region: str = "", more: str = "", tls: str = ""
) -> Description:
    """A fleet of three places, with logs that may not leave theirs; its edge stands in `place`.

    `more` are further tables, `tls` further lines of [tls].
    """
    tables = [
        HEAD.format(place=f'jurisdiction = "{place}"\nregion = "{region}"') + tls,
        logs(),
        node("eu1", "10.0.0.1:8470", "ingest", "eu", "eu-central-1"),
        node("eu2", "10.0.0.2:8470", "query", "eu", "eu-central-1", "draining"),
        node("us1", "10.1.0.1:8470", "ingest,query", "us", "us-east-1"),
        node("ap1", "[fd00::1]:8470", "ingest,query", "ap", "ap-south-1"),
        more,
    ]
    return described(directory, "".join(tables))


def described(directory: Path, text: str) -> Description:
    """Loads a description from its text."""
    path = directory / "fleet.toml"
    path.write_text(text)
    return load(path)
