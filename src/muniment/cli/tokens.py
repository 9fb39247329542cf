"""`muniment tokens`: who may write and read, at one server or in the file of a whole fleet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from muniment.cli.client import Server
from muniment.cli.failure import Failure
from muniment.cli.options import json_option, server_options
from muniment.cli.terminal import one_line

PATH = "/api/v1/tokens"


@click.group()
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Change this file, which the nodes of a fleet read, and ask no server.",
)
@click.pass_context
def tokens(context: click.Context, file: Path | None) -> None:
    """Make, list and revoke tokens.

    At a server that needs the token of an administrator; with --file nothing but the right to
    write the file.
    """
    context.obj = file


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
@click.pass_obj
def create(
    file: Path | None,
    name: str,
    scopes: tuple[str, ...],
    log: str,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Make a token and print it, this once.

    NAME stands as `from` in the receipt header of every entry that is written with it.
    """
    if file is not None:
        click.echo(_create_in(file, name, scopes, log))
        return
    with Server(url, token, ca) as server:
        made = server.post_json(PATH, {"name": name, "scopes": list(scopes), "log": log})
    click.echo(str(made["token"]))


@tokens.command("list")
@json_option("Print the list as JSON.")
@server_options
@click.pass_obj
def list_tokens(
    file: Path | None, as_json: bool, url: str, token: str | None, ca: Path | None
) -> None:
    """List the tokens: what they may do, not what they are."""
    found: Sequence[Mapping[str, Any]]
    if file is not None:
        found = _listed(file)
    else:
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
@click.pass_obj
def revoke(file: Path | None, id_: str, url: str, token: str | None, ca: Path | None) -> None:
    """Revoke a token: the next request that shows it is refused."""
    if file is not None:
        _revoke_in(file, id_)
        return
    with Server(url, token, ca) as server:
        server.delete(f"{PATH}/{quote(id_, safe='')}")


def _create_in(file: Path, name: str, scopes: Sequence[str], log: str) -> str:
    from muniment.access import Scope
    from muniment.access.token_file import changing

    with changing(file) as found:
        return found.create(name, [Scope(scope) for scope in scopes], log)


def _listed(file: Path) -> Sequence[Mapping[str, Any]]:
    from muniment.access.tokens import Tokens

    _must_be_there(file)
    records = Tokens.open(file.resolve()).records
    return [
        {
            "id": one.id,
            "name": one.name,
            "scopes": list(one.scopes),
            "log": one.log,
            "created": one.created,
        }
        for one in records
    ]


def _revoke_in(file: Path, id_: str) -> None:
    from muniment.access.token_file import changing

    _must_be_there(file)
    with changing(file) as found:
        if not found.revoke(id_):
            raise Failure(f"there is no token {id_[:80]!r} in {file}")


def _must_be_there(file: Path) -> None:
    if not file.is_file():
        raise Failure(f"there is no file {file}", advice="`tokens --file FILE create` makes it")
