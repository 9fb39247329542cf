"""What Envoy says about itself, in the default format of its log.

    [2026-11-20 23:08:16.123][7][info][main] [source/server/server.cc:975] starting main loop

Istio's proxy writes `2026-11-20T23:08:16.123456Z\tinfo\tenvoy main source/server/...\ttext`.
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf, stamps
from muniment.event.lifecycle import told
from muniment.event.source import Context, merge
from muniment.event.unmapped import json_object

STARTS = (
    r"^(?:\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]{8,15}\]\[[0-9]+\]\[[a-z]+\]\["
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}Z\t[a-z]+\t)"
)
_LINE = (
    r"(?s)^\[(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+)\]\[(?P<thread>[0-9]+)\]"
    r"\[(?P<level>[a-z]+)\]\[(?P<logger>[^\]]*)\] ?(?:\[(?P<place>[^\]]*)\] ?)?(?P<message>.*)$"
)
_AGENT = (
    r"(?s)^(?P<stamp>[^\t]+)\t(?P<level>[a-z]+)\t(?:envoy (?P<logger>[^ \t]+) (?P<place>[^\t]+)\t)?"
    r"(?P<message>.*)$"
)
_ACTIVITIES = (
    (r"starting main dispatch loop|initializing epoch|all clusters initialized", ocsf.START),
    (r"shutting down|main dispatch loop exited|exiting", ocsf.STOP),
    (r"restart", ocsf.RESTART),
    (r"\b(?:add/update|added/updated|lds: add|cds: (?:add|remove)|updat)", ocsf.UPDATE),
)


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:
    """Application Lifecycle events of lines that match `STARTS`."""
    plain = lines.str.starts_with("[")
    parts = []
    for mask, pattern, zone in ((plain, _LINE, context.zone), (~plain, _AGENT, None)):
        if not mask.any():
            continue
        frame = lines.filter(mask).str.extract_groups(pattern).struct.unnest()
        stamp = pl.col("stamp")
        layout = "%Y-%m-%d %H:%M:%S%.f"
        time = stamps.rfc3339(stamp) if zone is None else stamps.local(stamp, layout, zone)
        frame = frame.with_columns(
            time.alias("time_dt"),
            json_object({"logger": pl.col("logger"), "place": pl.col("place")}).alias("unmapped"),
            pl.lit(None, pl.String).alias("parse_error"),
        )
        parts.append((mask.arg_true(), told(frame, "Envoy", "envoy", _ACTIVITIES)))
    return merge(parts, len(lines))
