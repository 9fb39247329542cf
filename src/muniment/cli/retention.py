"""`muniment retention`: how long a log is kept, what has expired, and what keeps the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from muniment.cli.client import Server
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import note, one_line, quantity


@click.command()
@log_option
@json_option("Print the whole answer as one JSON object.")
@server_options
def retention(log: str, as_json: bool, url: str, token: str | None, ca: Path | None) -> None:
    """Show how long a log is kept, what has expired, what is next, and what is held."""
    with Server(url, token, ca) as server:
        found = server.get_json(f"/api/v1/logs/{quote(log)}/retention")
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(_policy(found["policy"]))
    for one in found["shards"]:
        click.echo(one_line(_shard(one)))
        if one["kept_back"]:
            click.echo(f"  {one_line(one['kept_back'])}")
        for store, count in one["kept"].items():
            refused = quantity(count, "expired segment")
            click.echo(f"  ! {one_line(store)} does not let go of {refused}")
        for store, why in one["behind"].items():
            click.echo(f"  ! {one_line(store)}: {one_line(why)}")
    for store in found["stores"]:
        trouble = f", {store['trouble']}" if store["trouble"] else ""
        click.echo(one_line(f"{store['store']}: follows policy {store['policy']}{trouble}"))
    for hold in found["holds"]:
        click.echo(one_line(f"hold {hold['name']}: {hold['reason']}"))
    if found["trouble"]:
        note(found["trouble"])


def _policy(policy: dict[str, Any]) -> str:
    if not policy["number"]:
        return "kept for ever, and locked as long as the stores do by themselves"
    from muniment.store.retention.policy import spelled

    least = "not locked" if not policy["minimum"] else f"locked for {spelled(policy['minimum'])}"
    most = "kept for ever" if not policy["maximum"] else f"kept for {spelled(policy['maximum'])}"
    return f"{least}, {most} (policy {policy['number']}, since {policy['set']})"


def _shard(one: dict[str, Any]) -> str:
    here = f"{one['shard']}: entries {one['minimum']:,} to {one['size'] - 1:,}"
    if not one["size"]:
        here = f"{one['shard']}: no entries"
    if one["minimum"]:
        here += f", {one['minimum']:,} expired"
    return here + (f", the next at {one['next']}" if one["next"] else "")
