"""Comparing rows of search answers with what the client that caused them knows."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from .load import Exchange

Row = Mapping[str, Any]


def pick(row: Row, dotted: str) -> Any:
    """Returns the member of nested objects that a dotted name leads to, None where it is absent."""
    value: Any = row
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def differences(row: Row, expected: Mapping[str, Any]) -> list[str]:
    """Returns a line for each dotted name whose value is another than expected."""
    found = {name: pick(row, name) for name in expected}
    return [
        f"{name}: expected {expected[name]!r}, found {found[name]!r}"
        for name in expected
        if found[name] != expected[name]
    ]


def assert_fields(row: Row, expected: Mapping[str, Any]) -> None:
    """Fails with every field that differs and the line as it was logged."""
    wrong = differences(row, expected)
    assert not wrong, "\n".join([*wrong, f"in {row.get('raw_data')!r}", f"row {row}"])


def assert_time(row: Row, exchange: Exchange) -> None:
    """The event's time lies between the client's begin and end (clocks tick in steps: 1 s)."""
    at = datetime.datetime.fromtimestamp(row["time"] / 1000, datetime.UTC)
    slack = datetime.timedelta(seconds=1)
    assert exchange.began - slack <= at <= exchange.ended + slack, (row, exchange)


def by(rows: list[dict[str, Any]], dotted: str) -> dict[Any, dict[str, Any]]:
    """Returns rows under the value of a field, which must be different in each."""
    found = {pick(row, dotted): row for row in rows}
    assert len(found) == len(rows), f"{len(rows)} rows, but {len(found)} values of {dotted}"
    return found
