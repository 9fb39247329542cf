"""`muniment objects`: what there is a history of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muniment.cli.client import Server
from muniment.cli.history.asking import ask, listed, note_lag, print_json
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import console, note, one_line

PAGE = 500


@click.command()
@click.argument("prefix", default="")
@log_option
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="Most rows.")
@json_option("Print one JSON object a line.")
@server_options
def objects(
    prefix: str,
    log: str,
    limit: int,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """List the objects whose changes are known: `muniment objects haproxy:lb1/`.

    PREFIX is how their names begin: system, instance, kind. Each has its latest version.
    """
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    with Server(url, token, ca) as server:
        while len(found) < limit:
            asked = min(PAGE, limit - len(found))
            answer = ask(server, log, "objects", prefix=prefix, limit=asked, cursor=cursor)
            found += listed(answer, "objects")
            cursor = answer.get("next")
            if not cursor:
                break
    if as_json:
        for one in found:
            print_json(one)
    else:
        _show(found, prefix)
    if cursor:
        note(f"there are more: this is the limit of {limit:,} objects (--limit, PREFIX)")
    note_lag(answer)


def _show(found: list[dict[str, Any]], prefix: str) -> None:
    from rich.text import Text

    out = console()
    for one in found:
        line = Text(one_line(str(one.get("object"))), style="bold")
        line.append(f"@{one.get('number')}", style="cyan")
        line.append(f"  {one.get('change')} {one.get('time')}", style="dim")
        out.print(line, soft_wrap=True)
    if not found:
        note(
            f"no object has a name that begins with {one_line(prefix)}"
            if prefix
            else "no object is known; `muniment capture` watches them"
        )
