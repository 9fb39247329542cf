"""`muniment history` and `muniment show`: the versions of an object, and what one of them was."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.failure import AnswerIsNo
from muniment.cli.history.asking import (
    apart,
    ask,
    fields_text,
    listed,
    note_lag,
    place,
    print_json,
)
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import console, note, one_line, printable

PAGE = 100


@click.command()
@click.argument("name", metavar="OBJECT")
@log_option
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Most versions."
)
@json_option("Print one JSON object a line: a version.")
@server_options
def history(
    name: str,
    log: str,
    limit: int,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """List the versions of an object, newest first: `muniment history haproxy:lb1/server/web/w2`.

    Each has what changed in it, when it was seen, and the entry that leads to its proof.
    """
    with Server(url, token, ca) as server:
        answer, found = versions_of(server, log, name, limit, "history")
    for one in found:
        if as_json:
            print_json(one)
        else:
            print_version(log, one)
    if answer.get("next"):
        note(f"there are {answer.get('total'):,}: this is the limit of {limit:,} (--limit)")
    note_lag(answer)


def versions_of(
    server: Server, log: str, name: str, limit: int, what: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the last page of versions and all that were found, newest first."""
    found: list[dict[str, Any]] = []
    before = 0
    page = PAGE if what == "history" else 10
    while True:
        asked = min(page, limit - len(found))
        answer = ask(server, log, what, object=name, limit=asked, before=before)
        found += listed(answer, "versions")
        before = int(answer.get("next") or 0)
        if not before or len(found) >= limit:
            return answer, found


def print_version(log: str, one: dict[str, Any]) -> None:
    """Prints number, time and what changed, and below it what leads to the proof."""
    from rich.text import Text

    out = console()
    line = Text(f"{one.get('number')}", style="bold cyan")
    line.append(f"  {one_line(str(one.get('time')))}  ", style="cyan")
    line.append(one_line(str(one.get("change"))), style=_style(one))
    told = fields_text(one.get("fields") or [])
    line.append(f"  {told}" if told else "")
    out.print(line, soft_wrap=True)
    parts = [place(log, one.get("entry")), str(one.get("version", ""))[:12]]
    parts += [f"seen by {one['agent']}"] if one.get("agent") else []
    parts += [f"the look before: {one['since']}"] if one.get("since") else []
    parts += [f"redacted: {', '.join(one['redacted'])}"] if one.get("redacted") else []
    text = "    " + one_line(" · ".join(part for part in parts if part))
    out.print(Text(text, style="dim"), soft_wrap=True)
    if one.get("fault"):
        out.print(Text(f"    ! {one_line(one['fault'])}", style="red"), soft_wrap=True)


def _style(one: dict[str, Any]) -> str:
    return {"delete": "red", "create": "green", "update": "yellow"}.get(str(one.get("change")), "")


@click.command()
@click.argument("name", metavar="OBJECT[@V]")
@log_option
@json_option("Print the whole answer as one JSON object.")
@server_options
def show(name: str, log: str, as_json: bool, url: str, token: str | None, ca: Path | None) -> None:
    """Print what an object was: `muniment show haproxy:lb1/server/web/w2@-2h`.

    V is a number, latest, previous, 6 or more digits of the SHA-256, or a time: what held then.
    The text of a file is printed as it is, any other state as JSON. Ends with 1 where the object
    was not there.
    """
    name, version = apart(name)
    with Server(url, token, ca) as server:
        answer = ask(server, log, "version", object=name, v=version)
    if as_json:
        print_json(answer)
        return
    told = f"{name}@{answer.get('number')} of {answer.get('time')}"
    if answer.get("fault"):
        note(f"{told}: {answer['fault']}")
    state = answer.get("state")
    if state is None:
        raise AnswerIsNo(f"{told}: it was not there ({answer.get('change')})")
    if not isinstance(state, dict):
        raise Unreachable("the server gives no state: is it a Muniment server?")
    _print_state(state)
    note(f"{told}, {place(log, answer.get('entry'))}")


def _print_state(state: dict[str, Any]) -> None:
    text = state.get("text")
    if not isinstance(text, str):
        click.echo(printable(json.dumps(state, ensure_ascii=False, indent=2)))
        return
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
    rest = {key: value for key, value in state.items() if key != "text"}
    if rest:
        note(json.dumps(rest, ensure_ascii=False))
