"""`muniment explain`: what changed around a rise of errors."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from muniment.cli.client import Server
from muniment.cli.history.asking import ask, listed, place, print_json
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import console, note, one_line
from muniment.cli.times import absolute, rfc3339, to_moment

_STYLES = {
    "effect": "bold red",
    "change": "yellow",
    "seen": "dim",
    "act": "green",
    "reload": "cyan",
    "gap": "red",
}
_BLOCKS = " ▁▂▃▄▅▆▇█"


def _seconds(_ctx: click.Context, param: click.Parameter, value: str) -> int:
    now = datetime.now(UTC)
    try:
        found = int((now - absolute(value, now)).total_seconds())
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from None
    if not 10 <= found <= 86_400:
        raise click.BadParameter("give 10s to 24h", param=param)
    return found


@click.command()
@click.argument("what", metavar="OBJECT|TIME")
@log_option
@click.option("--at", callback=to_moment, help="The moment, where OBJECT is given.")
@click.option(
    "--window", callback=_seconds, default="15m", show_default=True, help="Before and after it."
)
@json_option("Print the whole answer as one JSON object.")
@server_options
def explain(
    what: str,
    log: str,
    at: str | None,
    window: int,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Show what changed around a moment, and what came of it: `muniment explain -1h`.

    With OBJECT it is the latest change of that object and the traffic that goes through it. Acts,
    changes, reloads, gaps and the rise of errors stand in one timeline.
    """
    name: str | None = what if ":" in what and "/" in what else None
    if name is None:
        if at is not None:
            raise click.UsageError("--at goes with an OBJECT")
        try:
            at = rfc3339(absolute(what, datetime.now(UTC)))
        except ValueError as error:
            raise click.UsageError(f"{error}; or an object, haproxy:lb1/server/web/w1") from None
    with Server(url, token, ca) as server:
        answer = ask(server, log, "explain", object=name, at=at, window=window)
    if as_json:
        print_json(answer)
        return
    _show(log, answer)


def _show(log: str, answer: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()
    errors = answer.get("errors") or {}
    buckets = listed(errors, "buckets")
    out.print(Text(one_line(f"{answer.get('from')} to {answer.get('to')}"), style="bold"))
    if any(bucket.get("count") for bucket in buckets):
        out.print(Text(f"  errors {_curve(buckets)}"), soft_wrap=True)
    for item in listed(answer, "timeline"):
        kind = str(item.get("kind"))
        line = Text(one_line(f"{item.get('time')}  "), style="cyan")
        line.append(f"{one_line(kind):<7}", style=_STYLES.get(kind, ""))
        line.append(one_line(str(item.get("text", ""))))
        where = place(log, item.get("entry"))
        line.append(one_line(f"  {where}") if where else "", style="dim")
        out.print(line, soft_wrap=True)
        for joined in item.get("joins") or ():
            out.print(Text(f"    └ {one_line(str(joined.get('by')))}", style="dim"), soft_wrap=True)
    for said in answer.get("summary") or ():
        out.print(Text(one_line(str(said)), style="bold"), soft_wrap=True)
    if answer.get("partial"):
        note("there was more than was looked at; give a smaller --window")


def _curve(buckets: list[dict[str, Any]]) -> str:
    """The share of errors in each bucket, as a line of blocks; a space is no traffic."""
    made = ""
    for bucket in buckets:
        count, bad = int(bucket.get("count") or 0), int(bucket.get("errors") or 0)
        height = 1 + round(7 * min(1.0, bad / count)) if count else 0
        made += _BLOCKS[height]
    return made
