"""`muniment mirror`: what a node holds of the shards of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.failure import AnswerIsNo, Failure
from muniment.cli.options import json_option, server_options
from muniment.cli.terminal import one_line, quantity
from muniment.errors import NotFound

DAMAGED = ("damaged", "refused", "untrusted")
ASK_THE_NODE = "an edge gives this question to no node: ask the node itself with --url"


@click.group()
def mirror() -> None:
    """Work with the shards that a node mirrors from others."""


@mirror.command()
@json_option("Print the whole answer as one JSON object.")
@server_options
def status(as_json: bool, url: str, token: str | None, ca: Path | None) -> None:
    """Print what is mirrored: size, root, newest signed checkpoint, source, how far behind.

    Exit code 0: nothing is damaged. 1: a mirror is damaged, could not be begun,
    or no source shows what holds.
    """
    try:
        with Server(url, token, ca) as server:
            answer = server.get_json("/api/v1/mirrors")
    except NotFound as error:
        raise Failure(f"{url} tells nothing of mirrors", advice=ASK_THE_NODE) from error
    mirrors = answer.get("mirrors") if isinstance(answer, dict) else None
    if not isinstance(mirrors, list) or not all(isinstance(one, dict) for one in mirrors):
        raise Unreachable(f"{url} says nothing of mirrors: is it a Muniment server?")
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _show(mirrors)
    bad = [one for one in mirrors if one.get("state") in DAMAGED]
    if bad:
        named = one_line(", ".join(f"{one.get('log')}/{one.get('shard')}" for one in bad))
        raise AnswerIsNo(f"{quantity(len(bad), 'mirror')} not well: {named}")


def _show(mirrors: list[dict[str, Any]]) -> None:
    if not mirrors:
        click.echo("nothing is mirrored here")
    for one in mirrors:
        click.echo(one_line(f"{one.get('log')}/{one.get('shard')}: {one.get('state')}"))
        size = quantity(_number(one, "size"), "entry", "entries")
        click.echo(one_line(f"  {size}, root {one.get('root') or 'none'}"))
        click.echo(one_line(f"  from {one.get('source') or 'nobody yet'}, {_lag(one)}"))
        if one.get("problem"):
            click.echo(one_line(f"  {one['problem']}"))
        for line in str(one.get("checkpoint") or "").rstrip("\n").split("\n"):
            click.echo(one_line(f"  | {line}"))


def _lag(one: dict[str, Any]) -> str:
    lag = _number(one, "lag")
    if not lag:
        return "nothing behind"
    seconds = one.get("lag_seconds")
    since = f" for {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return f"{quantity(lag, 'entry', 'entries')} behind{since}"


def _number(one: dict[str, Any], name: str) -> int:
    value = one.get(name)
    return value if type(value) is int else 0
