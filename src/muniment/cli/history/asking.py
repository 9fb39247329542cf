"""What the commands about objects share: asking the server, names of versions, lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.patience import patiently
from muniment.cli.terminal import note, one_line, quantity
from muniment.cli.times import absolute, rfc3339

_NAMED = re.compile(r"\d{1,9}|latest|previous|[0-9a-fA-F]{6,64}", re.ASCII)


def ask(server: Server, log: str, what: str, **params: str | int | None) -> dict[str, Any]:
    """Returns the answer of the log's resource `what`. Raises MunimentError."""
    path = f"/api/v1/logs/{quote(log)}/{what}"
    found = patiently(partial(server.get_json, path, params), tries=3)
    if not isinstance(found, dict):
        raise Unreachable("the server gives no such answer: is it a Muniment server?")
    return found


def listed(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Returns a member that is a list of objects. Raises Unreachable."""
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Unreachable(f"the server gives no {name}: is it a Muniment server?")
    return found


def version_text(said: str) -> str:
    """Returns a version as the server takes it: times are made absolute. Raises BadParameter."""
    if _NAMED.fullmatch(said):
        return said
    try:
        return rfc3339(absolute(said, datetime.now(UTC)))
    except ValueError:
        raise click.BadParameter(
            f"{said!r} is no version: write a number, latest, previous, 6 or more digits of the "
            "SHA-256, or a time (-15m, 2026-01-31T08:00:00Z)"
        ) from None


def apart(said: str) -> tuple[str, str]:
    """Takes OBJECT@V apart; without a version it is the latest."""
    name, at, version = said.rpartition("@")
    return (name, version_text(version)) if at and name else (said, "latest")


def print_json(value: object) -> None:
    """Prints a JSON value in one line."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def place(log: str, entry: Any) -> str:
    """Returns LOG/SHARD/INDEX as `muniment prove` takes it; empty where there is none."""
    if not isinstance(entry, Mapping):
        return ""
    return f"{log}/{entry.get('shard')}/{entry.get('index')}"


def value_text(value: object, most: int = 120) -> str:
    """Returns a JSON value in one line, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = one_line(text)
    return line if len(line) <= most else f"{line[:most]}…"


def field_text(field: Mapping[str, Any]) -> str:
    """Returns `weight: 100 -> 50`."""
    path = one_line(str(field.get("path", ""))).removeprefix("/") or "all of it"
    if "before" not in field and "after" not in field:
        return f"{path}: changed"
    if "before" not in field:
        return f"{path}: + {value_text(field['after'])}"
    if "after" not in field:
        return f"{path}: - {value_text(field['before'])}"
    return f"{path}: {value_text(field['before'])} -> {value_text(field['after'])}"


def fields_text(fields: Sequence[Mapping[str, Any]], most: int = 3) -> str:
    """Returns the first fields in one line, and how many more there are."""
    told = ", ".join(field_text(field) for field in fields[:most])
    more = len(fields) - most
    return f"{told}, and {quantity(more, 'more', 'more')}" if more > 0 else told


def note_lag(answer: Mapping[str, Any]) -> None:
    """Says where the index is behind."""
    if answer.get("lag"):
        note(f"{quantity(int(answer['lag']), 'entry', 'entries')} cannot be searched yet")
