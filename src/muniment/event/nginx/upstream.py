"""NGINX's `$upstream_*` variables: one value for each server that was tried.

Values are separated by `, `, and by ` : ` where an internal redirect changed the group of servers.
`$upstream_addr` is an address, a unix socket, or the name of the group when no server was live.
"""

from __future__ import annotations

import polars as pl

from muniment.event import stamps
from muniment.event.request import address

# One or more values; neither separator occurs inside a value.
LIST = r"[^ ,]+(?:(?:, | : )[^ ,]+)*"


def columns(addresses: pl.Series, statuses: pl.Series, times: pl.Series) -> pl.DataFrame:
    """The columns attempts, server, server_ip, server_port, server_status and upstream (ms).

    The server is the one tried last, whose answer went to the client. `upstream` is the time spent
    with all of them. `-` and `` are no value.
    """
    frame = pl.DataFrame(
        {"a": _list(addresses), "s": _list(statuses), "t": _list(times)}
    ).with_row_index("row")
    tried = frame.filter(pl.col("a").is_not_null()).with_columns(
        (pl.col("a").list.len() == pl.col("s").list.len()).fill_null(False).alias("paired")
    )
    # Without one status for each address it cannot be said which belongs to which.
    tried = tried.with_columns(pl.when("paired").then("s").otherwise("a").alias("s"))
    each = tried.select("row", "paired", "a", "s").explode("a", "s")
    each = each.with_columns(
        *address(each["a"], "server"),
        pl.when("paired").then(pl.col("s").cast(pl.Int32, strict=False)).alias("server_status"),
    )
    endpoint = pl.struct(
        pl.col("server_ip").alias("ip"),
        pl.col("server_port").alias("port"),
        pl.col("server_name").alias("name"),
    )
    attempt = pl.struct(pl.col("server_status").alias("code"), endpoint.alias("network_endpoint"))
    grouped = each.group_by("row", maintain_order=True).agg(
        attempt.alias("attempts"),
        pl.col("server_ip", "server_port", "server_name", "server_status").last(),
    )
    spent = frame.select("row", _milliseconds(pl.col("t")).alias("upstream"))
    return (
        spent.join(grouped, on="row", how="left", maintain_order="left")
        .rename({"server_name": "server"})
        .drop("row")
    )


def _list(text: pl.Series) -> pl.Series:
    given = text.replace({"-": None, "": None})
    return given.str.replace_all(" : ", ", ", literal=True).str.split(", ")


def _milliseconds(seconds: pl.Expr) -> pl.Expr:
    """The sum in ms of seconds with three decimals; null when any of them is no number."""
    numbers = seconds.list.eval(pl.element().cast(pl.Float64, strict=False))
    whole = numbers.list.eval(pl.element().is_null()).list.any().not_()
    return pl.when(whole).then(stamps.milliseconds(numbers.list.sum()))
