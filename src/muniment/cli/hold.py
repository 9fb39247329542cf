"""`muniment hold`: legal holds on a log, on an object, or on what a query finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from muniment.cli.client import Server
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import note, one_line
from muniment.cli.times import to_moment


@click.group()
def hold() -> None:
    """Place, list and release legal holds; needs the token of an administrator."""


@hold.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; stands in the log.")
@log_option
@click.option("--object", "object_", default="", help="Hold what is about a tracked object.")
@click.option("--query", help="Hold what this query finds now.")
@click.option("--from", "start", callback=to_moment, help="Entries from here on.")
@click.option("--to", "end", callback=to_moment, help="Entries before this.")
@server_options
def place(
    name: str,
    reason: str,
    log: str,
    object_: str,
    query: str | None,
    start: str | None,
    end: str | None,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Place a hold: what it covers does not expire, whatever its age.

    NAME is what it is released by. Without --object, --query, --from and --to it is on the whole
    log. A hold on a log or on an object covers what comes later, too.
    """
    wanted = {"name": name, "reason": reason, "object": object_, "query": query}
    wanted |= {"from": start, "to": end}
    given = {key: value for key, value in wanted.items() if value not in ("", None)}
    with Server(url, token, ca) as server:
        found = server.post_json(_path(log), given)
    click.echo(_line(found))


@hold.command("list")
@log_option
@json_option("Print the list as JSON.")
@server_options
def list_holds(log: str, as_json: bool, url: str, token: str | None, ca: Path | None) -> None:
    """List the holds of a log."""
    with Server(url, token, ca) as server:
        found = server.get_json(_path(log))["holds"]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        note(f"there is no hold on {log}")


@hold.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; stands in the log.")
@log_option
@server_options
def release(name: str, reason: str, log: str, url: str, token: str | None, ca: Path | None) -> None:
    """Release a hold: what it covered may expire when its time is over."""
    with Server(url, token, ca) as server:
        server.delete(f"{_path(log)}/{quote(name, safe='')}?{urlencode({'reason': reason})}")


def _path(log: str) -> str:
    return f"/api/v1/logs/{quote(log)}/holds"


def _line(one: dict[str, Any]) -> str:
    target = {"log": "the whole log", "object": str(one["object"])}.get(str(one["what"]), "")
    if not target:
        parts = [repr(one["query"])] if one["query"] else ["all entries"]
        parts += [f"from {one['from']}"] if one["from"] else []
        parts += [f"to {one['to']}"] if one["to"] else []
        target = " ".join(parts)
    count = "" if one["what"] == "log" else f", {one['entries']:,} entries"
    place = f"{one['shard']}/{one['index']}" if one["on_record"] else "not on record yet"
    state = ", being released" if one["releasing"] else ""
    said = f"{one['name']}  {target}{count}  by {one['actor']} at {one['placed']}  {place}{state}"
    return one_line(f"{said}  {one['reason']}")
