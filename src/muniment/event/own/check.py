"""The examples in a parser's file, tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from muniment.event.decode import decode
from muniment.event.own.definition import Example
from muniment.event.own.load import Own

Row = dict[str, Any]


def rows(name: str, lines: Sequence[bytes], *, zone: str = "UTC") -> list[Row]:
    """Events of lines that arrive now, read by the source of that name; nulls are left out."""
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    head = json.dumps({"at": at, "as": name, "via": "file", "node": "parse"}).encode() + b"\n"
    table = decode([head + line for line in lines], log="-", shard="-", first=0, zone=zone)
    return [_without_nulls(row) for row in table.to_pylist()]


def faults(own: Own, *, zone: str = "UTC") -> Iterator[str]:
    """Yields what each example gives that it should not; `own` must be in use."""
    for number, example in enumerate(own.examples, start=1):
        row = rows(own.name, [example.line.encode()], zone=zone)[0]
        for fault in _differences(example, row):
            yield f"example {number}: {fault}"


def _differences(example: Example, row: Row) -> Iterator[str]:
    error = row.get("parse_error")
    if not example.reads:
        if row.get("class_uid") or not error:
            yield "the line is read, and should not be"
        return
    if error and "parse_error" not in example.expect:
        yield f"parse_error is {error!r}"
    for path, wanted in example.expect.items():
        found = _at(row, path)
        if _comparable(found) != _comparable(wanted):
            yield f"{path} is {_comparable(found)!r}, not {_comparable(wanted)!r}"


def _at(row: Any, path: str) -> Any:
    if path == "unmapped":
        return json.loads(row["unmapped"]) if row.get("unmapped") else {}
    for name in path.split("."):
        if isinstance(row, list):
            row = row[0] if row else None
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _comparable(value: Any) -> Any:
    """A time by its instant, however it was written."""
    if isinstance(value, str) and len(value) in range(20, 36) and value[10:11] in ("T", " "):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
        return kept or None
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
