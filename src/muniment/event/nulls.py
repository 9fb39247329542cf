"""Columns of nothing."""

from __future__ import annotations

import polars as pl
from polars._typing import PolarsDataType


def nulls(height: int, dtype: PolarsDataType, name: str = "") -> pl.Series:
    """A column of so many nulls; far quicker than one made from a list of None."""
    return pl.Series(name, [None], dtype=dtype).new_from_index(0, height)
