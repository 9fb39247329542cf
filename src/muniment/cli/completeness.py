"""`muniment completeness`: is all there that was served, and all that was captured?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.failure import AnswerIsNo
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import note, one_line, quantity
from muniment.cli.times import to_moment

LOSSES = ("completeness.gap", "completeness.closed")


@click.command()
@log_option
@click.option(
    "--since",
    default="24h",
    show_default=True,
    callback=to_moment,
    help="Records from this instant on: 24h, 7d, 2026-01-31.",
)
@json_option("Print the whole answer as one JSON object.")
@server_options
def completeness(
    log: str, since: str, as_json: bool, url: str, token: str | None, ca: Path | None
) -> None:
    """Say what is missing: requests that were served and have no entry, numbers passed over.

    Exit code 0: nothing is missing that was found to be. 1: something is.
    """
    with Server(url, token, ca) as server:
        answer = server.get_json(f"/api/v1/logs/{quote(log)}/completeness", {"since": since})
    if not isinstance(answer, dict) or not isinstance(answer.get("gaps"), list):
        raise Unreachable(f"{url} says nothing of completeness: is it a Muniment server?")
    missing = _missing(answer["gaps"])
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _show(answer)
    if missing > 0:
        raise AnswerIsNo(f"{quantity(missing, 'entry', 'entries')} missing in {log}")


def _missing(gaps: Sequence[dict[str, Any]]) -> int:
    """What is missing by the records: gaps, less what arrived late."""
    total = 0
    for gap in gaps:
        if gap.get("action") == LOSSES[0]:
            total += int(gap.get("missing") or 0)
        elif gap.get("action") == LOSSES[1]:
            total -= int(gap.get("arrived") or 0)
    return total


def _show(answer: dict[str, Any]) -> None:
    for one in answer["instances"]:
        name = one_line(f"{one['instance']} {one['name']}")
        until = f" up to {one_line(str(one['looked']))}" if one.get("looked") else ""
        served = f"{quantity(one['served'], 'request')} served{until}"
        click.echo(f"{name}: {served}, {_verdict(one)}")
        if one["problem"]:
            click.echo(f"  ! {one_line(one['problem'])}")
    for one in answer["streams"]:
        name = one_line(one["stream"])
        click.echo(f"{name}: records {one['first']:,} to {one['last']:,}, {_verdict(one)}")
    for gap in reversed(answer["gaps"]):
        click.echo(f"{one_line(str(gap['time']))} {one_line(str(gap['message']))}")
        place = gap["entry"]
        click.echo(f"  {one_line(place['shard'])}/{place['index']}")
    if answer["more"]:
        note("there are more records than these; ask for less time (--since)")
    if not answer["following"]:
        note("completeness is switched off on this server (completeness = false)")
    elif answer["trouble"]:
        note(f"it is not followed now: {answer['trouble']}")
    elif not answer["instances"] and not answer["streams"]:
        note(f"no counters and no captured streams as of {datetime.now(UTC):%H:%M} UTC")


def _verdict(one: dict[str, Any]) -> str:
    parts = [f"{one['missing']:,} missing" if one["missing"] else "nothing missing"]
    if one.get("surplus"):
        parts.append(f"{one['surplus']:,} too many")
    if one.get("repeated"):
        parts.append(f"{one['repeated']:,} repeated")
    return ", ".join(parts)
