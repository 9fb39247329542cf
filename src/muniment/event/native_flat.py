"""The native form of plain objects, a column at a time; see `flat` and `native`."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa

from muniment.event import flat, native
from muniment.event.columns import polars_type
from muniment.event.instants import plain_instants
from muniment.event.nulls import nulls
from muniment.event.request import host
from muniment.event.verbs import classify, outcome_status

_NO_ACTOR = polars_type(native.ACTOR)
_NO_RESOURCES = polars_type(native.RESOURCES)
_WHOLE_NUMBER = r"^-?[0-9]{1,18}$"
_NAMES = ("action", "actor", "resource", "client")


def fits(schema: pa.Schema) -> bool:
    """Whether objects with these members are of the native form, as far as members tell."""
    names = set(schema.names)
    plain = all(schema.field(name).type == pa.string() for name in names.intersection(_NAMES))
    return "action" in names and "class_uid" not in names and plain


def parse(members: pl.DataFrame, lines: pl.Series) -> pl.DataFrame | None:
    """What `native.parse` answers; None where that takes a look at each object.

    `members` is what `flat.read` made of `lines`, with a schema that `fits`.
    """
    if members["action"].null_count():
        return None
    times = plain_instants(_member(members, "time"))
    status, duration = (_whole(_member(members, name)) for name in ("status", "duration_ms"))
    if times is None or status is None or duration is None:
        return None
    text = {name: _text(_member(members, name)) for name in native.TEXTS}
    actions, outcome = members["action"], text["outcome"]
    frame = pl.DataFrame(
        {
            "class_uid": _each(actions, _class),
            "activity_id": _each(actions, _activity),
            "action": actions,
            "time_dt": times,
            "uid": text["id"],
            "actor": _actors(members),
            "resources": _resources(members),
            "outcome": outcome,
            "status_id": _each(outcome, outcome_status),
            "status_detail": text["reason"],
            "severity": text["severity"].str.to_lowercase(),
            "service": text["service"],
            "comment": text["comment"],
            "message": text["message"],
            "tenant": text["tenant"],
            "trace_id": text["trace_id"],
            "request_id": text["request_id"],
            "method": text["method"],
            "user_agent": text["user_agent"],
            "code": status.cast(pl.Int32, strict=False),
            "duration": duration,
            "target": text["url"].fill_null(text["path"]),
            "src_endpoint": _clients(_text(_member(members, "client"))),
        }
    )
    others = pl.DataFrame([m for m in members.get_columns() if m.name not in native.KNOWN])
    return native.nested(frame).with_columns(flat.json_text(others, lines).alias("unmapped"))


def _class(action: str) -> int:
    return classify(action, "")[0]


def _activity(action: str) -> int:
    return classify(action, "")[1]


def _member(members: pl.DataFrame, name: str) -> pl.Series:
    if name in members.columns:
        return members[name]
    return nulls(members.height, pl.String)


def _text(member: pl.Series) -> pl.Series:
    return member.cast(pl.String)


def _whole(member: pl.Series) -> pl.Series | None:
    """Int64, also of decimal text; None where there is a value that is neither."""
    if member.dtype == pl.String and not member.str.contains(_WHOLE_NUMBER).all():
        return None
    if member.dtype == pl.Boolean and member.null_count() < len(member):
        return None
    return member.cast(pl.Int64)


def _each(texts: pl.Series, function: Callable[[str], int]) -> pl.Series:
    """The function's value of each text; it is called once for each that is different."""
    distinct = texts.drop_nulls().unique()
    if distinct.is_empty():
        return nulls(len(texts), pl.Int32)
    made = pl.Series([function(text) for text in distinct.to_list()], dtype=pl.Int32)
    return texts.replace_strict(distinct, made, default=None, return_dtype=pl.Int32)


def _actors(members: pl.DataFrame) -> pl.Series:
    if "actor" not in members.columns:
        return nulls(members.height, _NO_ACTOR)
    user = pl.struct(pl.col("actor").alias("name"))
    return members.select(pl.struct(user.alias("user"))).to_series()


def _resources(members: pl.DataFrame) -> pl.Series:
    """Lists of one resource that has a name."""
    if "resource" not in members.columns:
        return nulls(members.height, _NO_RESOURCES)
    names = members["resource"].to_arrow()
    ends = pl.int_range(members.height + 1, dtype=pl.Int64, eager=True).to_arrow()
    listed = pa.LargeListArray.from_arrays(
        ends,
        pa.StructArray.from_arrays([names], names=["name"]),
        mask=names.is_null() if names.null_count else None,
    )
    return pl.Series(listed)


def _clients(texts: pl.Series) -> pl.Series:
    ip, port, name = host(texts, "c")
    return pl.DataFrame({"ip": ip, "port": port, "name": name}).to_struct()
