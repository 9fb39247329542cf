"""`muniment tokens`: who may write and read."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import click

from muniment.cli.client import Server
from muniment.cli.options import json_option, server_options
from muniment.cli.terminal import one_line

PATH = "/api/v1/tokens"


@click.group()
def tokens() -> None:
    """Make, list and revoke tokens; needs the token of an administrator."""


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["write", "read", "admin"]),
    default=("write",),
    show_default=True,
    help="What the token is for; can be given several times.",
)
@click.option("--log", default="", help="The one log that it may write to (scope write only).")
@server_options
def create(
    name: str, scopes: tuple[str, ...], log: str, url: str, token: str | None, ca: Path | None
) -> None:
    """Make a token and print it, this once.

    NAME stands as `from` in the receipt header of every entry that is written with it.
    """
    with Server(url, token, ca) as server:
        made = server.post_json(PATH, {"name": name, "scopes": list(scopes), "log": log})
    click.echo(str(made["token"]))


@tokens.command("list")
@json_option("Print the list as JSON.")
@server_options
def list_tokens(as_json: bool, url: str, token: str | None, ca: Path | None) -> None:
    """List the tokens: what they may do, not what they are."""
    with Server(url, token, ca) as server:
        found = server.get_json(PATH)["tokens"]
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found:
        where = f"  log {one['log']}" if one["log"] else ""
        rights = ",".join(one["scopes"])
        click.echo(one_line(f"{one['id']}  {one['name']}  {rights}{where}  since {one['created']}"))


@tokens.command()
@click.argument("id_", metavar="ID")
@server_options
def revoke(id_: str, url: str, token: str | None, ca: Path | None) -> None:
    """Revoke a token: the next request that shows it is refused."""
    with Server(url, token, ca) as server:
        server.delete(f"{PATH}/{quote(id_, safe='')}")
