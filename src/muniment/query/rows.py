"""Rows as JSON: the OCSF event as nested objects without nulls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa

_PLACE = "place"


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Returns rows as plain values for JSON, in order.

    Members that are null are left out, and so are objects and lists that hold nothing. Instants
    are RFC 3339 in UTC with microseconds.
    """
    return [_object(row) for row in table.to_pylist()]


def _object(value: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, member in value.items():
        plain = _plain(member)
        if plain is not None:
            found[name] = plain
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return _object(value) or None
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        return [item for item in items if item is not None] or None
    if isinstance(value, datetime):
        return instant_text(value)
    return str(value)


def instant_text(value: datetime) -> str:
    """Returns an instant in UTC as RFC 3339 with microseconds."""
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
