"""Requests to the interface by which a balancer is configured: API Activity, not traffic.

Such a request stands in an access log like any other. It keeps what an access log has of it
(client, user, request, response), and gains what was done to what, so that whoever asks who changed
an object finds it.
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf, ocsf_columns

_ACTIVITIES = {"POST": 1, "GET": 2, "HEAD": 2, "OPTIONS": 2, "PUT": 3, "PATCH": 3, "DELETE": 4}


def with_acts(events: pl.DataFrame, acts: pl.DataFrame, service: str) -> pl.DataFrame:
    """HTTP Activity events, with those that `acts` names as API Activity (6003).

    `acts` is as high as `events`, with the columns `act` (Boolean: this is one), `method`, `kind`
    and `name` (String: of the object acted on, null where the request names none), and
    `operation`. `service` becomes api.service.name.
    """
    act = acts["act"].fill_null(False)
    if not act.any():
        return events
    # Both frames in one, so that every expression is as high as they are.
    both = events.with_columns(
        act.alias("_act"),
        *(acts[n].alias(f"_{n}") for n in ("method", "kind", "name", "operation")),
    )
    activity = ocsf_columns.lookup("_method", _ACTIVITIES, ocsf.OTHER).fill_null(ocsf.OTHER)
    response = _member(events, "http_response", "code", pl.Int32)
    request = _member(events, "http_request", "uid", pl.String)
    resource = pl.struct(pl.col("_name").alias("name"), pl.col("_kind").alias("type"))
    api = pl.struct(
        pl.col("_operation").alias("operation"),
        pl.struct(pl.lit(service).alias("name")).alias("service"),
        pl.struct(request.alias("uid")).alias("request"),
        pl.struct(response.alias("code")).alias("response"),
    )
    named = pl.col("_act") & (pl.col("_name").is_not_null() | pl.col("_kind").is_not_null())
    made = both.with_columns(
        pl.when("_act")
        .then(pl.lit(ocsf.API_ACTIVITY, pl.Int32))
        .otherwise("class_uid")
        .alias("class_uid"),
        pl.when("_act").then(activity).otherwise("activity_id").cast(pl.Int32).alias("activity_id"),
        pl.when("_act").then(api).alias("api"),
        pl.when(named).then(pl.concat_list(resource)).alias("resources"),
    )
    return made.drop("_act", "_method", "_kind", "_name", "_operation")


def _member(events: pl.DataFrame, column: str, name: str, dtype: type[pl.DataType]) -> pl.Expr:
    kind = events.schema.get(column)
    if isinstance(kind, pl.Struct) and name in {field.name for field in kind.fields}:
        return pl.col(column).struct.field(name)
    return pl.lit(None, dtype)
