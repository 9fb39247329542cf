"""What is known of an event from around it, put where the event itself says nothing."""

from __future__ import annotations

import polars as pl

from muniment.event.unmapped import merged

_KIND = ("class_uid", "category_uid", "activity_id", "type_uid")


def put_back(events: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """Events with what `facts` (columns of `SCHEMA`, same height) says where they say nothing.

    What kind of event it is goes together: it is taken whole or not at all. `unmapped` is joined.
    """
    if "class_uid" in facts.columns and "class_uid" in events.columns:
        known = events["class_uid"].is_not_null()
        if known.any():
            kinds = [name for name in _KIND if name in facts.columns]
            facts = facts.with_columns(pl.when(~known).then(pl.col(kinds)))
    have = set(events.columns)
    added = []
    for column in facts.get_columns():
        name = column.name
        if name not in have or events[name].dtype == pl.Null:
            added.append(column)
        elif name == "unmapped":
            added.append(merged(events[name], column))
        else:
            added.append(_filled(events[name], column))
    return events.with_columns(added)


def _filled(first: pl.Series, second: pl.Series) -> pl.Series:
    """The first where it says something, else the second; structs member by member."""
    if second.dtype == pl.Null or (
        first.null_count() == 0 and not isinstance(first.dtype, pl.Struct)
    ):
        return first
    if not (isinstance(first.dtype, pl.Struct) and isinstance(second.dtype, pl.Struct)):
        return _chosen(first, second)
    ours, theirs = first.struct.unnest(), second.struct.unnest()
    members = [
        _filled(column, theirs[column.name]) if column.name in theirs.columns else column
        for column in ours.get_columns()
    ]
    members += [column for column in theirs.get_columns() if column.name not in ours.columns]
    return pl.DataFrame(members).to_struct(first.name)


def _chosen(first: pl.Series, second: pl.Series) -> pl.Series:
    if first.dtype == second.dtype:
        return first.fill_null(second)
    # Lists of structs with different members: putting columns below each other unifies them.
    both = pl.concat(
        [first.rename("_").to_frame(), second.rename("_").to_frame()], how="diagonal_relaxed"
    )["_"]
    height = len(first)
    return both[:height].fill_null(both[height:]).rename(first.name)
