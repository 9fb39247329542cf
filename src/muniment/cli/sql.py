"""`muniment sql`: read-only SQL over the index."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.patience import patiently
from muniment.cli.terminal import console, note, one_line, quantity

MAX_ROWS = 10_000


@click.command()
@click.argument("statement")
@log_option
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ROWS),
    default=1_000,
    show_default=True,
    help="Most rows.",
)
@json_option("Print one JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a line of names (RFC 4180).")
@server_options
def sql(
    statement: str,
    log: str,
    limit: int,
    as_json: bool,
    as_csv: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Ask in SQL: `muniment sql 'SELECT source, count(*) FROM events GROUP BY 1'`.

    The table `events` holds the OCSF columns of every event; STATEMENT `-` is read from
    standard input.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if statement == "-":
        statement = sys.stdin.read()
    with Server(url, token, ca) as server:
        asked = {"query": statement, "log": log, "limit": limit}
        answer = patiently(lambda: server.post_json("/api/v1/sql", asked), tries=3)
    names, rows = _table(answer)
    if as_json:
        for row in rows:
            named = dict(zip(names, row, strict=True))
            click.echo(json.dumps(named, ensure_ascii=False, separators=(",", ":")))
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows([_cell(value) for value in row] for row in rows)
    else:
        _show(names, rows)
    if answer.get("truncated"):
        note(f"there are more: this is the limit of {quantity(len(rows), 'row')} (--limit)")
    if answer.get("lag"):
        note(f"{quantity(int(answer['lag']), 'entry', 'entries')} cannot be searched yet")


def _table(answer: Any) -> tuple[list[str], list[list[Any]]]:
    try:
        columns = [str(one["name"] if isinstance(one, dict) else one) for one in answer["columns"]]
        rows = [list(row) for row in answer["rows"]]
        if any(len(row) != len(columns) for row in rows):
            raise ValueError("rows and columns do not fit")
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable("the server gives no table: is it a Muniment server?") from error
    return columns, rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def _show(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table where it fits, else one `name: value` a line for each row."""
    cells = [[one_line(_cell(value)) for value in row] for row in rows]
    widths = [
        max([len(one_line(name)), *(len(row[i]) for row in cells)]) for i, name in enumerate(names)
    ]
    out = console()
    if sum(widths) + 3 * len(widths) + 1 <= out.width or len(names) == 1:
        _show_table(names, rows, cells)
        return
    for number, row in enumerate(cells, 1):
        out.print(f"row {number}", style="bold", markup=False)
        for name, text in zip(names, row, strict=True):
            out.print(f"  {one_line(name)}: {text}", markup=False)


def _show_table(
    names: Sequence[str], rows: Sequence[Sequence[Any]], cells: Sequence[Sequence[str]]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for i, name in enumerate(names):
        numbers = all(isinstance(row[i], int | float | None) for row in rows)
        table.add_column(
            Text(one_line(name)), justify="right" if numbers else "left", overflow="fold"
        )
    for row in cells:
        table.add_row(*(Text(text) for text in row))
    console().print(table)
