"""Columns of OCSF's numbers, out of what logs say: statuses, methods, severities."""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf


def lookup(column: str, table: dict[str, int] | dict[int, int], default: int | None) -> pl.Expr:
    """The Int32 that `table` gives for each value of `column`; null stays null."""
    found = pl.col(column).replace_strict(table, default=default, return_dtype=pl.Int32)
    return pl.when(pl.col(column).is_not_null()).then(found)


def method_activity(column: str) -> pl.Expr:
    """activity_id of HTTP Activity: 99 for a method that OCSF does not number, 0 for none."""
    return lookup(column, ocsf.METHODS, ocsf.OTHER).fill_null(0)


def http_status_id(status: str, code: str) -> pl.Expr:
    """status_id: Success below 400; Failure from 400 on or when no response was sent at all.

    `status` is the column of the status as it was logged, `code` the same as a number or null.
    Without a logged status the outcome is unknown (null).
    """
    good = pl.col(code).is_between(100, 399).fill_null(False)
    outcome = pl.when(good).then(pl.lit(ocsf.SUCCESS)).otherwise(pl.lit(ocsf.FAILURE))
    return pl.when(pl.col(status).is_not_null()).then(outcome).cast(pl.Int32)


def http_severity_id(code: str) -> pl.Expr:
    """severity_id: Medium for a server error (5xx), otherwise Informational."""
    failed = pl.col(code).is_between(500, 599).fill_null(False)
    return pl.when(failed).then(ocsf.MEDIUM).otherwise(ocsf.INFORMATIONAL).cast(pl.Int32)
