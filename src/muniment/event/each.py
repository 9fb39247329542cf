"""Lines that are an object each: the objects are read together, the other lines keep the reason."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from muniment.event.objects import Object
from muniment.event.source import merge

Read = Callable[[str], tuple[Object, str | None]]
"""From a line to its object, as far as it can be read, and what is wrong with its text."""

Refuse = Callable[[Object], str | None]
"""The reason why an object is no event of the source; None where it is one."""


def parse_each(
    lines: pl.Series, read: Read, refuse: Refuse, events: Callable[[list[Object]], pl.DataFrame]
) -> pl.DataFrame:
    """Returns `events` of the lines that hold some, at their places; `parse_error` for the rest.

    An event whose text was wrong, but not too wrong to be read, has columns and a `parse_error`.
    """
    found: list[Object] = []
    rows: list[int] = []
    faults: list[str | None] = []
    broken: dict[int, str] = {}
    for row, line in enumerate(lines.to_list()):
        event, fault = read(line)
        reason = refuse(event)
        if reason is None:
            found.append(event)
            rows.append(row)
            faults.append(fault)
        else:
            broken[row] = fault or reason
    parts = []
    if found:
        error = pl.Series("parse_error", faults, dtype=pl.String)
        parts.append((pl.Series(rows, dtype=pl.UInt32), events(found).with_columns(error)))
    if broken:
        errors = pl.DataFrame({"parse_error": pl.Series(broken.values(), dtype=pl.String)})
        parts.append((pl.Series(list(broken), dtype=pl.UInt32), errors))
    return merge(parts, len(lines))
