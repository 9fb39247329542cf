"""`muniment doctor`: looks for what is wrong with a set-up, and says what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from muniment.cli.diagnosis import FAIL, OK, WARN, Found
from muniment.cli.diagnosis.machine import look_at_machine
from muniment.cli.diagnosis.server import look_at_server
from muniment.cli.diagnosis.stores import look_at_stores
from muniment.cli.failure import AnswerIsNo
from muniment.cli.options import data_option, json_option, server_options
from muniment.cli.stores import config_option
from muniment.cli.terminal import console, one_line

_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}


@click.command()
@data_option
@click.option(
    "--syslog", default="127.0.0.1:5514", show_default=True, help="Address for syslog, or off."
)
@config_option
@json_option("Print one JSON object a line.")
@server_options
def doctor(
    data: Path,
    syslog: str,
    config: Path | None,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Look for what is wrong: the machine, the data directory, the stores, the server.

    Exit code 1 if something fails; warnings alone are 0.
    """
    found = [
        *look_at_machine(data),
        *look_at_stores(config),
        *look_at_server(url, token, ca, data, syslog),
    ]
    if as_json:
        for one in found:
            row = {"check": one.check, "result": one.result, "detail": one.detail}
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        _show(found)
    failed = sum(one.result == FAIL for one in found)
    if failed:
        raise AnswerIsNo(f"{failed} of {len(found)} checks failed")


def _show(found: list[Found]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for one in found:
        table.add_row(
            Text(one.result, style=_STYLES[one.result]),
            Text(one.check),
            Text(one_line(one.detail), overflow="fold"),
        )
    console().print(table)
