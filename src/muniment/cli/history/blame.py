"""`muniment blame`: who made each version of an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muniment.cli.client import Server
from muniment.cli.history.asking import listed, note_lag, place, print_json
from muniment.cli.history.versions import print_version, versions_of
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import console, note, one_line


@click.command()
@click.argument("name", metavar="OBJECT")
@log_option
@click.option(
    "--limit", type=click.IntRange(1), default=10, show_default=True, help="Most versions."
)
@json_option("Print one JSON object a line: a version with its evidence.")
@server_options
def blame(
    name: str,
    log: str,
    limit: int,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Say who made each version, from where and how: `muniment blame haproxy:lb1/server/web/w2`.

    The evidence are acts in audit logs between the two looks that saw the change. `=` marks an act
    that names the object, changes something and went well; `?` one that only fits.
    """
    with Server(url, token, ca) as server:
        answer, found = versions_of(server, log, name, limit, "blame")
    for one in found:
        if as_json:
            print_json(one)
        else:
            print_version(log, one)
            _print_evidence(log, one)
    if answer.get("next"):
        note(f"there are {answer.get('total'):,}: this is the limit of {limit:,} (--limit)")
    note_lag(answer)


def _print_evidence(log: str, one: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()
    out.print(Text(f"    {one_line(str(one.get('conclusion', '')))}"), soft_wrap=True)
    for item in listed(one, "evidence"):
        mark, style = ("=", "green") if item.get("certain") else ("?", "yellow")
        parts = [str(item.get("who") or "somebody")]
        parts += [f"from {item['where']}"] if item.get("where") else []
        parts += [f"through {item['how']}"] if item.get("how") else []
        parts += [str(item.get("action", ""))]
        line = Text(f"    {mark} ", style=style)
        line.append(one_line(" ".join(part for part in parts if part)), style="bold")
        line.append(one_line(f"  {item.get('time')}  {place(log, item.get('entry'))}"), style="dim")
        out.print(line, soft_wrap=True)
        out.print(Text(f"      {one_line(str(item.get('why', '')))}", style="dim"), soft_wrap=True)
    if one.get("partial"):
        note("    there were more acts in that time than were looked at")
