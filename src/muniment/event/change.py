"""Change events of the agent: an object of a balancer is not what it was at the look before.

Each becomes Entity Management (3004): `entity` is the object, `entity.uid` its whole name
(`haproxy:lb1/server/web/w2`), `entity.name` its own (`web/w2`), `entity.type` system and kind
(`haproxy.server`), `entity.version` the SHA-256 of its state. `activity_id` says what happened:
create 1, observe 2 (the first sight), update 3, delete 4. `message` says it in words.

`actor.user.name` and `actor.app_name` are who changed it, where the system itself says so.
`load_balancer` has the frontend, backend and server that it belongs to. What has no column
(`since`, `previous`, `fields`, `names`, `redacted`) is in `unmapped`, the fields as far as 16 KiB
go. The state stays in `raw_data`: it is as large as anybody likes.

A change event that is not whole (one cut into parts) is read as far as its members are whole.
"""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from muniment.event import ocsf
from muniment.event.columns import Leftover, column
from muniment.event.each import parse_each
from muniment.event.instants import instants
from muniment.event.objects import Object, as_text, decode_object
from muniment.event.schema import SCHEMA
from muniment.event.source import Context
from muniment.json_cut import readable

_CHANGES = {"create": 1, "observe": 2, "update": 3, "delete": 4}
_WORDS = {"create": "created", "observe": "first seen", "update": "changed", "delete": "deleted"}
_NO_CHANGE = "no change event: it has no object with a name of system:instance/kind/name"
_MAX_NAME = 1_024
_MAX_FIELDS_BYTES = 16 << 10
_TOLD_FIELDS = 3
_TOLD_VALUE = 64
_STATE = frozenset(("state",))
_TAKEN = frozenset(
    ("object", "change", "time", "version", "fields", "by", "where", "note", "state")
)
_TEXT = SCHEMA.field("message").type


class Change:
    """The source `change`."""

    reads_parts = True

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG002
        return parse_each(lines, _read, _refusal, _events)


def _refusal(event: Object) -> str | None:
    return None if _is_change(event) else _NO_CHANGE


def _read(line: str) -> tuple[Object, str | None]:
    """An event without its state, and what is wrong with its text."""
    value = decode_object(line)
    if isinstance(value, str):
        return readable(line.encode(), _STATE), value
    value.pop("state", None)
    return value, None


def _is_change(event: Object) -> bool:
    name, kind = event.get("object"), event.get("change")
    if not isinstance(name, str) or not isinstance(kind, str):
        return False
    return len(name) <= _MAX_NAME and kind in _CHANGES and all(_parts(name))


def _parts(name: str) -> tuple[str, str, str]:
    """System, kind and own name of an object; empty where the whole is no such name."""
    place, _, rest = name.partition("/")
    kind, _, own = rest.partition("/")
    system, _, instance = place.partition(":")
    return (system if instance else ""), kind, own


def _events(events: list[Object]) -> pl.DataFrame:
    left = Leftover(len(events))
    names = [_parts(event["object"]) for event in events]

    def text(values: list[Any], *path: str) -> pl.Series:
        return column(values, _TEXT, path, left)

    def member(holder: str, name: str) -> pl.Series:
        return text([_inner(event, holder).get(name) for event in events], holder, name)

    frame = pl.DataFrame(
        {
            "activity_id": pl.Series([_CHANGES[e["change"]] for e in events], dtype=pl.Int32),
            "time_dt": _times(events, left),
            "message": pl.Series(list(map(_message, events, names)), dtype=pl.String),
            "system": pl.Series([system for system, _, _ in names], dtype=pl.String),
            "uid": pl.Series([event["object"] for event in events], dtype=pl.String),
            "name": pl.Series([own for _, _, own in names], dtype=pl.String),
            "type": pl.Series([f"{s}.{kind}" for s, kind, _ in names], dtype=pl.String),
            "version": text([event.get("version") for event in events], "version"),
            "user": member("by", "user"),
            "tool": member("by", "tool"),
            "request": member("by", "request"),
            "frontend": member("where", "frontend"),
            "backend": member("where", "backend"),
            "server": member("where", "server"),
        }
    )
    for row, event in enumerate(events):
        left.add_members(row, _rest(event))
    return _nested(frame).with_columns(left.text())


def _inner(event: Object, name: str) -> Object:
    value = event.get(name)
    return value if isinstance(value, dict) else {}


def _times(events: list[Object], left: Leftover) -> pl.Series:
    given = [event.get("time") for event in events]
    made = instants(given)
    for row in made.is_null().arg_true().to_list():
        if given[row] is not None:
            left.add(row, ("time",), given[row])
    return made


def _rest(event: Object) -> Object:
    """What has no column, in bounds."""
    rest = {key: value for key, value in event.items() if key not in _TAKEN and value is not None}
    for holder, known in (("by", ("user", "tool", "request")), ("where", _PLACES)):
        value = event.get(holder)
        if isinstance(value, dict):
            value = {key: inner for key, inner in value.items() if key not in known}
        if value:
            rest[holder] = value
    fields = event.get("fields")
    if isinstance(fields, list):
        rest["fields"] = kept = _first(fields)
        if len(kept) < len(fields):
            rest["fields_left_out"] = len(fields) - len(kept)
    elif fields is not None:
        rest["fields"] = fields
    return rest


_PLACES = ("frontend", "backend", "server")


def _first(fields: list[Any]) -> list[Any]:
    """The first of the fields, as many as go into _MAX_FIELDS_BYTES."""
    size = 0
    for number, field in enumerate(fields):
        size += len(orjson.dumps(field))
        if size > _MAX_FIELDS_BYTES:
            return fields[:number]
    return fields


def _message(event: Object, names: tuple[str, str, str]) -> str:
    """`haproxy server web/w2: weight 100 -> 50`."""
    subject = " ".join(names)
    given = event.get("fields")
    fields = (
        [field for field in given if isinstance(field, dict)] if isinstance(given, list) else []
    )
    if event["change"] != "update" or not fields:
        return f"{subject}: {_WORDS[event['change']]}"
    more = len(fields) - _TOLD_FIELDS
    after = f", and {more} more" if more > 0 else ""
    return f"{subject}: {', '.join(map(_told, fields[:_TOLD_FIELDS]))}{after}"


def _told(field: Object) -> str:
    path = str(field.get("path", ""))[: 2 * _TOLD_VALUE].removeprefix("/") or "all of it"
    if "before" not in field and "after" not in field:
        return f"{path} changed"
    if "before" not in field:
        return f"{path} added: {_value(field['after'])}"
    if "after" not in field:
        return f"{path} removed: {_value(field['before'])}"
    return f"{path} {_value(field['before'])} -> {_value(field['after'])}"


def _value(value: Any) -> str:
    text = "null" if value is None else as_text(value) or '""'
    return text if len(text) <= _TOLD_VALUE else f"{text[:_TOLD_VALUE]}…"


def _nested(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        pl.lit(ocsf.ENTITY_MANAGEMENT, pl.Int32).alias("class_uid"),
        "activity_id",
        "time_dt",
        "message",
        pl.lit(ocsf.INFORMATIONAL, pl.Int32).alias("severity_id"),
        pl.struct("uid", "name", "type", "version").alias("entity"),
        pl.struct(
            pl.struct(pl.col("user").alias("name")).alias("user"), pl.col("tool").alias("app_name")
        ).alias("actor"),
        pl.struct(pl.col("request").alias("uid")).alias("http_request"),
        pl.struct(
            pl.col("frontend").alias("name"),
            pl.struct(pl.col("server").alias("name"), pl.col("backend").alias("svc_name")).alias(
                "dst_endpoint"
            ),
        ).alias("load_balancer"),
        pl.struct(
            pl.lit(ocsf.VERSION).alias("version"),
            pl.lit("change").alias("log_name"),
            pl.struct(pl.col("system").alias("name")).alias("product"),
        ).alias("metadata"),
    )


SOURCE = Change()
