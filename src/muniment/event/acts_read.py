"""Acts on a configuration that were read one by one out of audit logs: API Activity events.

Logins are Authentication, what says nothing of an act Application Lifecycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from muniment.event import ocsf, ocsf_columns
from muniment.event.objects import Object

CREATE, READ, UPDATE, DELETE = 1, 2, 3, 4
LOGON, LOGOFF = 1, 2
_UTC = pl.Datetime("us", "UTC")


@dataclass(slots=True)
class Audit:
    """One entry of an audit log; `kind` and `name` are of the object acted on.

    `class_uid` is API_ACTIVITY, AUTHENTICATION or APPLICATION_LIFECYCLE; `micros` the time in
    microseconds since the epoch; `level` a severity's word. `app` is what a lifecycle event is
    about, `backend` and `server` where traffic has them.
    """

    message: str | None
    class_uid: int = ocsf.API_ACTIVITY
    activity: int = ocsf.OTHER
    operation: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    user: str | None = None
    tool: str | None = None
    pid: int | None = None
    client: str | None = None
    good: bool | None = None
    outcome: str | None = None
    micros: int | None = None
    code: str | None = None
    host: str | None = None
    level: str | None = None
    app: str | None = None
    frontend: str | None = None
    backend: str | None = None
    server: str | None = None
    rest: Object = field(default_factory=dict)
    fault: str | None = None


def audit_events(rows: Sequence[Audit], product: str, vendor: str) -> pl.DataFrame:
    """Events of such entries, same height and order; one with a fault has no class."""
    texts = (
        *("message", "operation", "kind", "name", "namespace", "user", "tool", "client"),
        *("outcome", "code", "host", "level", "app", "frontend", "backend", "server", "fault"),
    )
    columns: dict[str, Any] = {n: _texts([getattr(row, n) for row in rows]) for n in texts}
    for name, dtype in (("class_uid", pl.Int32), ("activity", pl.Int32), ("pid", pl.Int64)):
        columns[name] = pl.Series([getattr(row, name) for row in rows], dtype=dtype)
    good = [None if row.good is None else 1 if row.good else 2 for row in rows]
    rest = [orjson.dumps(row.rest).decode() if row.rest else None for row in rows]
    micros = pl.Series([row.micros for row in rows], dtype=pl.Int64)
    frame = pl.DataFrame(columns).with_columns(
        pl.Series("status_id", good, dtype=pl.Int32),
        _texts(rest).alias("unmapped"),
        micros.cast(pl.Datetime("us")).cast(_UTC).alias("time_dt"),
        pl.col("level").str.to_lowercase(),
    )
    api = pl.col("class_uid") == ocsf.API_ACTIVITY
    login = pl.col("class_uid") == ocsf.AUTHENTICATION
    resource = pl.struct("name", pl.col("kind").alias("type"), "namespace")
    named = pl.any_horizontal(pl.col("name", "kind").is_not_null())
    target = pl.struct(pl.col("server").alias("name"), pl.col("backend").alias("svc_name"))
    return frame.select(
        pl.when(pl.col("fault").is_null()).then("class_uid").alias("class_uid"),
        pl.when(pl.col("fault").is_null()).then("activity").alias("activity_id"),
        "status_id",
        ocsf_columns.lookup("level", ocsf.SEVERITY_WORDS, None).alias("severity_id"),
        pl.col("outcome").alias("status_code"),
        "message",
        "time_dt",
        pl.struct(
            pl.struct(pl.col("user").alias("name")).alias("user"),
            pl.struct("pid").alias("process"),
            pl.col("tool").alias("app_name"),
        ).alias("actor"),
        pl.struct(pl.when(login).then("user").alias("name")).alias("user"),
        pl.struct(pl.col("client").alias("ip")).alias("src_endpoint"),
        pl.struct(pl.when(api).then("operation").alias("operation")).alias("api"),
        pl.when(named).then(pl.concat_list(resource)).alias("resources"),
        pl.struct(pl.col("app").alias("name")).alias("app"),
        pl.struct(pl.col("host").alias("hostname")).alias("device"),
        pl.struct(pl.col("frontend").alias("name"), target.alias("dst_endpoint")).alias(
            "load_balancer"
        ),
        pl.struct(
            pl.lit(ocsf.VERSION).alias("version"),
            pl.when(api | login)
            .then(pl.lit("audit"))
            .otherwise(pl.lit("system"))
            .alias("log_name"),
            pl.col("code").alias("event_code"),
            pl.struct(pl.lit(product).alias("name"), pl.lit(vendor).alias("vendor_name")).alias(
                "product"
            ),
        ).alias("metadata"),
        "unmapped",
        pl.col("fault").alias("parse_error"),
    )


def _texts(values: Sequence[str | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.String)
