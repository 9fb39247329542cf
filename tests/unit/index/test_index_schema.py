"""An index of an earlier version of Muniment, whose events had fewer columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from muniment.event.schema import SCHEMA
from muniment.index import table
from muniment.index.check import check_index
from muniment.index.columns import leaf_columns

FEWER = pa.schema(
    [
        pa.field("metadata", pa.struct(list(SCHEMA.field("metadata").type)[:3]))
        if field.name == "metadata"
        else field
        for field in table.TABLE_SCHEMA
        if field.name not in ("captures", "load")
    ]
)


def opened(directory: Path) -> table.IndexTable:
    return table.IndexTable(directory, "web", now=lambda: 0)


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of an index with the columns of `FEWER`."""
    with monkeypatch.context() as patch:
        patch.setattr(table, "TABLE_SCHEMA", FEWER)
        opened(tmp_path).close()
    return tmp_path


def columns(index: table.IndexTable) -> frozenset[str]:
    return leaf_columns(pa.schema(index._table.schema()))


def test_an_index_gains_the_columns_that_it_lacks(earlier: Path) -> None:
    index = opened(earlier)
    assert columns(index) == leaf_columns(table.TABLE_SCHEMA)
    assert index._table.version() == 1
    index.close()
    assert check_index(earlier) == []


def test_it_is_widened_once(earlier: Path) -> None:
    opened(earlier).close()
    index = opened(earlier)
    assert index._table.version() == 1
    index.close()


def test_a_crash_in_between_is_mended(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def crash(self: table.IndexTable, version: int) -> None:
            raise OSError("the machine is gone")

        patch.setattr(table.IndexTable, "_record", crash)
        with pytest.raises(OSError, match="gone"):
            opened(earlier)
    assert (earlier / "PENDING").exists()
    index = opened(earlier)
    assert columns(index) == leaf_columns(table.TABLE_SCHEMA)
    index.close()
    assert check_index(earlier) == []
