"""What a container runtime puts before each line: `2026-11-20T23:08:16.1+01:00 stdout F line`.

The CRI log format (Kubernetes, design proposal "kubelet-cri-logging"). A line that the runtime cut
into parts (`P`) is a part here, too.
"""

from __future__ import annotations

import polars as pl

from muniment.event import stamps

_PREFIX = (
    r"^(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})) (?:stdout|stderr) [FP](?::[^ ]{0,32})?(?: |$)"
)


def unwrap(lines: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """Lines without the prefix, and the stamps in it (String); None where no line has one."""
    wrapped = lines.str.contains(_PREFIX)
    if not wrapped.any():
        return lines, None
    rows = pl.select(pl.when(wrapped).then(lines)).to_series()
    bare = rows.str.replace(_PREFIX, "")
    return bare.fill_null(lines), rows.str.extract(_PREFIX)


def with_time(events: pl.DataFrame, stamp: pl.Series | None) -> pl.DataFrame:
    """Events with the runtime's time where the line itself tells none."""
    if stamp is None:
        return events
    time = pl.DataFrame({"t": stamp}).select(stamps.rfc3339(pl.col("t"))).to_series()
    if "time_dt" in events.columns:
        time = events["time_dt"].fill_null(time)
    return events.with_columns(time.alias("time_dt"))
