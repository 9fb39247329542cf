"""`muniment trace`: one request on its way, with the latency of each hop."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from muniment.cli.client import Server
from muniment.cli.history.asking import ask, listed, place, print_json
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import console, note, one_line
from muniment.cli.times import to_moment


@click.command()
@click.argument("trace_id", metavar="ID")
@log_option
@click.option("--from", "start", callback=to_moment, help="First instant: -15m, 2h, 2026-01-31.")
@click.option("--to", "end", callback=to_moment, help="First instant that is not included.")
@json_option("Print one JSON object a line: a hop.")
@server_options
def trace(
    trace_id: str,
    log: str,
    start: str | None,
    end: str | None,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Follow one request by its trace id or request id across all that logged it.

    Each hop has its latency, what of it is its own, and how long after the hop before it began.
    """
    with Server(url, token, ca) as server:
        asked = {"from": start, "to": end}
        answer = ask(server, log, f"traces/{quote(trace_id, safe='')}", **asked)
    for hop in listed(answer, "hops"):
        if as_json:
            print_json(hop)
        else:
            _show(log, hop)
    if answer.get("partial"):
        note("there are more hops than were looked at; give --from and --to")


def _show(log: str, hop: dict[str, Any]) -> None:
    from rich.text import Text

    line = Text(one_line(f"{hop.get('time')}  "), style="cyan")
    line.append(f"{_milliseconds(hop.get('gap_ms'), '+'):>9} ", style="dim")
    line.append(f"{_milliseconds(hop.get('latency_ms')):>9} ", style="bold")
    line.append(one_line(str(hop.get("name") or "")), style="bold")
    status, what = hop.get("status"), hop.get("what")
    line.append(one_line(f"  {'' if status is None else status} {what or ''}"))
    console().print(line, soft_wrap=True)
    own = hop.get("own_ms")
    parts = [place(log, hop.get("entry")), str(hop.get("source") or "")]
    parts += [f"{own} ms of its own"] if own is not None else []
    console().print(Text("    " + one_line(" · ".join(parts)), style="dim"), soft_wrap=True)


def _milliseconds(value: Any, sign: str = "") -> str:
    return "" if value is None else f"{sign}{value} ms"
