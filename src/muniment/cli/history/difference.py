"""`muniment diff`: how two versions of an object differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muniment.cli.client import Server
from muniment.cli.history.asking import ask, field_text, listed, print_json, version_text
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import console, note, one_line, printable

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("name", metavar="OBJECT")
@click.argument("v1", default="previous")
@click.argument("v2", default="latest")
@log_option
@click.option("--exit-code", is_flag=True, help="End with 1 where the versions differ.")
@json_option("Print the whole answer as one JSON object.")
@server_options
def diff(
    name: str,
    v1: str,
    v2: str,
    log: str,
    exit_code: bool,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Compare two versions: `muniment diff haproxy:lb1/server/web/w2 1 latest`.

    V1 is `previous` and V2 `latest` by default; each is a number, latest, previous, 6 or more
    digits of the SHA-256, or a time. Files are also compared line by line.
    """
    asked = {"object": name, "from": version_text(v1), "to": version_text(v2)}
    with Server(url, token, ca) as server:
        answer = ask(server, log, "diff", **asked)
    if as_json:
        print_json(answer)
    else:
        _show(name, answer)
    if exit_code and not answer.get("same"):
        click.get_current_context().exit(1)


def _show(name: str, answer: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()
    for mark, style, side in (("---", "red", "from"), ("+++", "green", "to")):
        one = answer.get(side) or {}
        line = f"{mark} {name}@{one.get('number')}  {one.get('time')}  {one.get('change')}"
        out.print(Text(one_line(line), style=f"bold {style}"), soft_wrap=True)
    for field in listed(answer, "fields"):
        out.print(Text(field_text(field)), soft_wrap=True)
    for section in listed(answer, "sections"):
        line = f"{section.get('change')}: {section.get('name')}"
        out.print(Text(one_line(line), style="bold"), soft_wrap=True)
    if answer.get("left_out"):
        note("there are more differences than are shown")
    for line in str(answer.get("text") or "").removesuffix("\n").split("\n")[2:]:
        style = _STYLES.get(line[:1], "")
        out.print(Text(printable(line), style=style), soft_wrap=True)
    if answer.get("same"):
        note("they are the same")
