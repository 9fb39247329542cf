"""`muniment tail`: new events as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.logs import shards_of
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.rows import headline
from muniment.cli.sse import events
from muniment.cli.terminal import console, note
from muniment.errors import TryLater

FIRST_PAUSE = 0.5
MAX_PAUSE = 10.0


@click.command()
@click.argument("query", default="")
@log_option
@click.option("-n", "--number", type=click.IntRange(1), help="Stop after so many events.")
@json_option("Print one JSON object a line: the event as it is indexed.")
@server_options
def tail(
    query: str,
    log: str,
    number: int | None,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Follow new events that match QUERY, until Ctrl-C.

    When the connection breaks it is made again, and what came meanwhile is shown first.
    """
    out = console()
    with Server(url, token, ca) as server:
        for count, row in enumerate(follow(server, log, query, remark=note), 1):
            if as_json:
                click.echo(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
            else:
                out.print(headline(row), soft_wrap=True)
            if count == number:
                return


def follow(
    server: Server,
    log: str,
    query: str,
    *,
    remark: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Yields the rows of new events for ever; a break is mended with Last-Event-ID.

    Raises what the server refuses the query with, and Unreachable where the very first
    connection fails.
    """
    path = f"/api/v1/logs/{quote(log)}/tail"
    place, pause, reached = _ends(server, log), FIRST_PAUSE, False
    while True:
        headers = {"accept": "text/event-stream", "last-event-id": place}
        reason, wait = "the server ended the stream", 0.0
        try:
            with server.stream(path, {"q": query}, headers) as response:
                if reached and pause > FIRST_PAUSE:
                    remark("connected again")
                reached, pause = True, FIRST_PAUSE
                for event in events(response.iter_bytes()):
                    place = event.id or place
                    if event.name == "entry":
                        yield _row(event.data)
        except (Unreachable, TryLater) as error:
            if not reached and isinstance(error, Unreachable):
                raise
            reason = error.detail
            wait = float(error.retry_after) if isinstance(error, TryLater) else 0.0
        wait = max(wait, pause)
        remark(f"{reason}; connecting again in {wait:.1f} s")
        sleep(wait)
        pause = min(pause * 2, MAX_PAUSE)


def _ends(server: Server, log: str) -> str:
    """Returns the id that stands for all entries that are there now."""
    return ",".join(f"{one.shard}:{one.size - 1}" for one in shards_of(server, log))


def _row(data: str) -> dict[str, Any]:
    try:
        row = json.loads(data)
    except ValueError as error:
        raise Unreachable(f"an event that is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise Unreachable("an event that is no JSON object")
    return row
