"""Requests to Envoy's administration interface that change something (`access_log` of `admin`)."""

from __future__ import annotations

import polars as pl

SERVICE = "envoy admin"
# The documentation's "Administration interface": what has to be a POST, and what it acts on.
_KINDS = {
    "/quitquitquit": "server",
    "/drain_listeners": "listeners",
    "/healthcheck/fail": "server",
    "/healthcheck/ok": "server",
    "/logging": "logging",
    "/runtime_modify": "runtime",
    "/reset_counters": "counters",
    "/reopen_logs": "logging",
    "/cpuprofiler": "profiler",
    "/heapprofiler": "profiler",
    "/tap": "tap",
}


def acts(flat: pl.DataFrame) -> pl.DataFrame:
    """What `administration.with_acts` wants.

    The interface has no upstream and no route, so a request that went anywhere is none of its.
    """
    own = (
        (pl.col("method") == "POST")
        & pl.col("upstream").is_null()
        & pl.col("cluster").is_null()
        & pl.col("route").is_null()
        & (pl.col("status") == "200")
    )
    kind = pl.col("path").replace_strict(_KINDS, default=None, return_dtype=pl.String)
    changed = pl.col("query_string").str.replace("=.*", "")
    return flat.select(
        (own & kind.is_not_null()).fill_null(False).alias("act"),
        pl.lit("PUT").alias("method"),
        kind.alias("kind"),
        pl.when(kind == "runtime").then(changed).otherwise(kind).alias("name"),
        pl.concat_str("method", "path", separator=" ").alias("operation"),
    )
