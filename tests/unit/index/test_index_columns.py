"""Leaving out empty columns and joining tables loses nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from muniment.event.schema import SCHEMA
from muniment.index.columns import ALWAYS, fit, join, leaf_columns, newest_first, prune, schema_of

TEXT = st.none() | st.text(max_size=3)
NUMBER = st.none() | st.integers(0, 9)
ENDPOINT = st.none() | st.fixed_dictionaries({"ip": TEXT, "port": NUMBER})
ROW = st.fixed_dictionaries(
    {
        "index": st.integers(0, 1000),
        "time": st.integers(0, 5),
        "raw_data": st.text(max_size=3),
        "status_id": NUMBER,
        "actor": st.none() | st.fixed_dictionaries({"user": st.none() | st.just({"name": "a"})}),
        "src_endpoint": ENDPOINT,
        "load_balancer": st.none() | st.fixed_dictionaries({"dst_endpoint": ENDPOINT}),
        "resources": st.none() | st.lists(st.fixed_dictionaries({"name": TEXT}), max_size=2),
    }
)
ROWS = st.lists(ROW, min_size=1, max_size=6)


def without_nulls(value: Any) -> Any:
    """What counts: objects in which everything is null count as null."""
    if isinstance(value, dict):
        kept = {name: without_nulls(member) for name, member in value.items()}
        return {name: member for name, member in kept.items() if member is not None} or None
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def plain(table: pa.Table) -> list[Any]:
    return [without_nulls(row) for row in table.to_pylist()]


@given(ROWS)
def test_pruning_keeps_every_value(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    assert plain(prune(table)) == plain(table)


@given(ROWS)
def test_a_pruned_table_has_no_column_that_is_null_throughout(rows: list[dict[str, Any]]) -> None:
    pruned = prune(pa.Table.from_pylist(rows, SCHEMA))
    flat = pruned
    while any(pa.types.is_struct(field.type) for field in flat.schema):
        flat = flat.flatten()
    names = {name for name in flat.column_names if name not in ALWAYS}
    assert all(flat[name].null_count < len(flat) for name in names)
    assert set(flat.column_names) == leaf_columns(pruned.schema)


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_joined_tables_have_the_rows_of_all(several: list[list[dict[str, Any]]]) -> None:
    tables = [prune(pa.Table.from_pylist(rows, SCHEMA)) for rows in several]
    joined = join(tables)
    assert plain(joined) == [row for table in tables for row in plain(table)]
    assert joined["index"].num_chunks == 1


@given(ROWS)
def test_a_table_fits_the_whole_schema_again(rows: list[dict[str, Any]]) -> None:
    pruned = prune(pa.Table.from_pylist(rows, SCHEMA))
    whole = fit(pruned, SCHEMA)
    assert whole.schema == SCHEMA
    whole.validate(full=True)
    assert plain(whole) == plain(pruned)


@given(ROWS)
def test_newest_first_is_by_time_then_by_index(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    ordered = table.take(newest_first(table)).to_pylist()
    keys = [(row["time"], row["index"]) for row in ordered]
    assert keys == sorted(keys, reverse=True)


def test_the_schema_of_all_leaves_is_the_schema() -> None:
    assert schema_of(leaf_columns(SCHEMA)) == SCHEMA
