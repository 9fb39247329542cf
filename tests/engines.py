"""How other engines read the table of an index, and what every leaf column of it holds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, QueryBuilder

from muniment.index.columns import leaf_columns
from muniment.index.table import TABLE_SCHEMA

Reader = Callable[[Path], pa.Table]


def with_polars(directory: Path) -> pa.Table:
    """Polars, which reads the Delta log itself."""
    return pl.scan_delta(str(directory)).collect().to_arrow()


def with_deltalake(directory: Path) -> pa.Table:
    """The SQL of deltalake (DataFusion)."""
    builder = QueryBuilder().register("events", DeltaTable(str(directory)))
    return pa.table(builder.execute("SELECT * FROM events").read_all())


def with_pyarrow(directory: Path) -> pa.Table:
    """A PyArrow dataset of the files that the Delta log names."""
    return DeltaTable(str(directory)).to_pyarrow_dataset().to_table()


def with_duckdb(directory: Path) -> pa.Table:
    """DuckDB over the files that the Delta log names, without its Delta extension."""
    files = DeltaTable(str(directory)).file_uris()
    options = "union_by_name = true, hive_partitioning = true, hive_types_autocast = false"
    query = f"SELECT * FROM read_parquet(?, {options})"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(query, params=[files]).to_arrow_table()


def with_duckdb_on_arrow(directory: Path) -> pa.Table:
    """DuckDB over PyArrow's dataset, which has every column."""
    events = DeltaTable(str(directory)).to_pyarrow_dataset()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("events", events)
        return connection.sql("SELECT * FROM events").to_arrow_table()


def with_duckdb_delta(directory: Path) -> pa.Table:
    """DuckDB's own Delta extension, where the installed one is of the same release."""
    if importlib.util.find_spec("duckdb_extension_delta") is None:
        pytest.skip("duckdb-extension-delta is not installed")
    (place,) = import_module("duckdb_extension_delta").__path__
    file = Path(place) / "extensions" / f"v{duckdb.__version__}" / "delta.duckdb_extension"
    if not file.exists():
        pytest.skip(f"duckdb-extension-delta is of another release than {duckdb.__version__}")
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{file}'")
        connection.execute("SET TimeZone = 'UTC'")
        query = "SELECT * FROM delta_scan(?)"
        return connection.sql(query, params=[str(directory)]).to_arrow_table()


READERS: Mapping[str, Reader] = {
    "polars": with_polars,
    "deltalake": with_deltalake,
    "pyarrow": with_pyarrow,
    "duckdb": with_duckdb,
    "duckdb on pyarrow": with_duckdb_on_arrow,
    "duckdb delta": with_duckdb_delta,
}


def leaves(table: pa.Table) -> dict[str, list[Any]]:
    """Every leaf column of the table's schema by its dotted name, rows by shard and index.

    One that an engine does not show, since no file has it, is null; so is a member of a null.
    """
    places = zip(table["shard"].to_pylist(), table["index"].to_pylist(), strict=True)
    order = [row for _, row in sorted((place, row) for row, place in enumerate(places))]
    found = {}
    for name in leaf_columns(TABLE_SCHEMA):
        values = _leaf(table, name.split(".")).to_pylist()
        found[name] = [values[row] for row in order]
    return found


def _leaf(table: pa.Table, path: list[str]) -> pa.ChunkedArray:
    nothing = pa.chunked_array([pa.nulls(table.num_rows)])
    if path[0] not in table.schema.names:
        return nothing
    column = table[path[0]]
    for name in path[1:]:
        if column.type.get_field_index(name) < 0:
            return nothing
        column = pc.struct_field(column, name)
    return column
