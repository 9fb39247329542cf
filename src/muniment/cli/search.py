"""`muniment search`: events by field, text and time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.patience import patiently
from muniment.cli.rows import headline, place_line
from muniment.cli.terminal import console, note, quantity
from muniment.cli.times import to_moment

PAGE = 1_000
"""Rows that the server gives at once."""


@click.command()
@click.argument("query", default="")
@log_option
@click.option("--from", "start", callback=to_moment, help="First instant: -15m, 2h, 2026-01-31.")
@click.option("--to", "end", callback=to_moment, help="First instant that is not included.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most rows.")
@click.option(
    "--order", type=click.Choice(["newest", "oldest"]), default="newest", show_default=True
)
@json_option("Print one JSON object a line: the event as it is indexed.")
@server_options
def search(
    query: str,
    log: str,
    start: str | None,
    end: str | None,
    limit: int,
    order: str,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Find events: `muniment search 'status:>=500 path:/api/*' --from -15m`.

    QUERY is fields and words that must all hold (`actor:alice`, `"free text"`, `NOT`, `OR`);
    without one, all events are found.
    """
    wanted: dict[str, str | int | None] = {"q": query, "from": start, "to": end, "order": order}
    with Server(url, token, ca) as server:
        pages = _pages(server, f"/api/v1/logs/{quote(log)}/search", wanted, limit)
        shown, answer = 0, {}
        out = console()
        for answer in pages:
            for row in answer["rows"]:
                if as_json:
                    click.echo(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
                else:
                    out.print(headline(row))
                    out.print(place_line(row))
            shown += len(answer["rows"])
    _close(answer, shown, as_json)


def _pages(
    server: Server, path: str, wanted: dict[str, str | int | None], limit: int
) -> Iterator[dict[str, Any]]:
    """Yields pages until `limit` rows are there or no more are found."""
    left, cursor = limit, None
    while left > 0:
        asked = {**wanted, "limit": min(left, PAGE), "cursor": cursor}
        answer = patiently(partial(server.get_json, path, asked), tries=3)
        if not isinstance(answer, dict) or not isinstance(answer.get("rows"), list):
            raise Unreachable("the server gives no rows: is it a Muniment server?")
        yield answer
        left -= len(answer["rows"])
        cursor = answer.get("next")
        if not cursor:
            return


def _close(answer: dict[str, Any], shown: int, as_json: bool) -> None:
    if not shown and not as_json:
        note("nothing found")
    elif answer.get("next"):
        note(
            f"there are more: this is the limit of {quantity(shown, 'row')} (--limit, --from, --to)"
        )
    if answer.get("lag"):
        note(f"{quantity(int(answer['lag']), 'entry', 'entries')} cannot be searched yet")
