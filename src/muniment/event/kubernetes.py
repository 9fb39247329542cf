"""Kubernetes audit events (audit.k8s.io/v1): who asked the API server for what, and what it said.

Each becomes API Activity 6003. One request has several events, one a stage: `metadata.uid` is
`auditID/stage`, which is what two copies of one event have in common; `metadata.correlation_uid`
is the auditID, which the stages have in common, and which the client got as `Audit-Id`.

The source is the last of `sourceIPs`, the one that the API server saw itself: clients can write
those before it, which are in `http_request.x_forwarded_for`. `user` is who was impersonated,
`actor.user` who did it. The objects of requests and responses stay in `raw_data`: they are as
large as anybody likes, and not the event's own words.

An event that is not whole (one cut into parts) or that a reader of JSON refuses is read as far as
its members are whole, and says so in `parse_error`.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from muniment.event import ocsf, ocsf_columns
from muniment.event.columns import Leftover, column
from muniment.event.each import parse_each
from muniment.event.instants import instants
from muniment.event.objects import Object, decode_object
from muniment.event.request import url
from muniment.event.schema import SCHEMA
from muniment.event.source import Context
from muniment.json_cut import readable

_NO_EVENT = "no audit event: it has no auditID"
_BULK = frozenset(("requestObject", "responseObject"))
_TAKEN = frozenset(
    (
        *("auditID", "stage", "level", "verb", "requestURI", "userAgent", "sourceIPs"),
        *("user", "impersonatedUser", "objectRef", "responseStatus", "stageTimestamp"),
        *("apiVersion", *_BULK),
    )
)
_CREATE, _READ, _UPDATE, _DELETE = 1, 2, 3, 4
_VERBS = {
    **dict.fromkeys(("create", "post"), _CREATE),
    **dict.fromkeys(("get", "list", "watch", "head", "options"), _READ),
    **dict.fromkeys(("update", "patch", "put"), _UPDATE),
    **dict.fromkeys(("delete", "deletecollection"), _DELETE),
}

_TEXT = SCHEMA.field("message").type
_USER = SCHEMA.field("user").type
_RESOURCES = SCHEMA.field("resources").type
_FORWARDED = SCHEMA.field("http_request").type.field("x_forwarded_for").type
_RESPONSE = SCHEMA.field("api").type.field("response").type


class Kubernetes:
    """The source `kubernetes`."""

    reads_parts = True

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG002
        return parse_each(lines, _read, _refusal, _events)


def _refusal(event: Object) -> str | None:
    return None if isinstance(event.get("auditID"), str) else _NO_EVENT


def _read(line: str) -> tuple[Object, str | None]:
    """An object without its bulk, and what is wrong with its text."""
    value = decode_object(line)
    if isinstance(value, str):
        return readable(line.encode(), _BULK), value
    for name in _BULK:
        value.pop(name, None)
    return value, None


def _events(events: list[Object]) -> pl.DataFrame:
    left = Leftover(len(events))

    def values(name: str) -> list[Any]:
        return [event.get(name) for event in events]

    def text(name: str) -> pl.Series:
        return column(values(name), _TEXT, (name,), left)

    statuses = [_status(value) for value in values("responseStatus")]
    references = [_reference(value) for value in values("objectRef")]
    sources = [_sources(value) for value in values("sourceIPs")]
    resources = [None if value is None else [value] for value in references]
    frame = pl.DataFrame(
        {
            "audit": text("auditID"),
            "stage": text("stage"),
            "level": text("level"),
            "verb": text("verb"),
            "uri": text("requestURI"),
            "agent": text("userAgent"),
            "product": text("apiVersion"),
            "version": pl.Series(list(map(_group, values("objectRef"))), dtype=pl.String),
            "ip": column([source for source, _ in sources], _TEXT, ("sourceIPs",), left),
            "forwarded": column([rest for _, rest in sources], _FORWARDED, ("sourceIPs",), left),
            "who": column([_user(value) for value in values("user")], _USER, ("user",), left),
            "as_whom": column(
                [_user(value) for value in values("impersonatedUser")],
                _USER,
                ("impersonatedUser",),
                left,
            ),
            "resources": column(resources, _RESOURCES, ("objectRef",), left),
            "response": column(statuses, _RESPONSE, ("responseStatus",), left),
            **_times(events, left),
        }
    )
    for row, event in enumerate(events):
        if event.get("kind") == "Event":
            del event["kind"]
        rest = {k: v for k, v in event.items() if k not in _TAKEN and v is not None}
        left.add_members(row, rest)
    return _nested(frame).with_columns(left.text())


def _times(events: list[Object], left: Leftover) -> dict[str, pl.Series]:
    """When the stage was reached, and how long after the request began; what is no time is kept."""
    given = [event.get("stageTimestamp") for event in events]
    staged = instants(given)
    for row in staged.is_null().arg_true().to_list():
        if given[row] is not None:
            left.add(row, ("stageTimestamp",), given[row])
    begun = instants([event.get("requestReceivedTimestamp") for event in events])
    return {"staged": staged, "begun": begun}


def _status(value: Any) -> Any:
    """A Status (meta/v1) under the names of OCSF's response; its empty metadata is nothing."""
    if not isinstance(value, dict):
        return value
    named = {"reason": "error", "message": "error_message", "status": "message"}
    return {named.get(key, key): inner for key, inner in value.items() if inner != {}}


def _reference(value: Any) -> Any:
    """An ObjectReference as a resource; a subresource belongs to its type: `pods/exec`."""
    if not isinstance(value, dict):
        return value
    made = dict(value)
    kind, part = made.pop("resource", None), made.pop("subresource", None)
    made["type"] = f"{kind}/{part}" if isinstance(part, str) else kind
    made["version"] = made.pop("resourceVersion", None)
    for name in ("apiGroup", "apiVersion"):
        if isinstance(made.get(name), str):
            del made[name]
    return made


def _group(reference: Any) -> str | None:
    """The group and version of a resource: `apps/v1`; of the core group the version alone."""
    if not isinstance(reference, dict):
        return None
    parts = [reference.get(name) for name in ("apiGroup", "apiVersion")]
    return "/".join(part for part in parts if part and isinstance(part, str)) or None


def _user(value: Any) -> Any:
    """A UserInfo (authentication.k8s.io/v1); `extra` has no column."""
    if not isinstance(value, dict):
        return value
    made = dict(value)
    made["name"] = made.pop("username", None)
    groups = made.get("groups")
    if isinstance(groups, list):
        made["groups"] = [{"name": g} if isinstance(g, str) else g for g in groups]
    return made


def _sources(value: Any) -> tuple[Any, Any]:
    """The peer of the API server, and what came before it in `sourceIPs`."""
    if not isinstance(value, list):
        return value, None
    return (value[-1] if value else None), (value[:-1] or None)


def _nested(frame: pl.DataFrame) -> pl.DataFrame:
    have = {f.name for f in frame.schema["response"].fields}  # type: ignore[attr-defined]
    response = [
        pl.col("response").struct.field(name) if name in have else pl.lit(None, dtype).alias(name)
        for name, dtype in (("code", pl.Int32), ("error", pl.String), ("error_message", pl.String))
    ]
    places = url(frame["uri"])
    frame = frame.with_columns(*response, places.to_struct("url"))
    audit = pl.col("audit")
    return frame.select(
        pl.lit(ocsf.API_ACTIVITY, pl.Int32).alias("class_uid"),
        ocsf_columns.lookup("verb", _VERBS, ocsf.OTHER).fill_null(0).alias("activity_id"),
        pl.coalesce("staged", "begun").alias("time_dt"),
        (pl.col("staged") - pl.col("begun")).dt.total_milliseconds().alias("duration"),
        ocsf_columns.http_status_id("code", "code").alias("status_id"),
        ocsf_columns.http_severity_id("code").alias("severity_id"),
        pl.col("code").cast(pl.String).alias("status_code"),
        pl.coalesce("error_message", "error").alias("status_detail"),
        pl.concat_str("verb", "uri", separator=" ", ignore_nulls=True)
        .replace("", None)
        .alias("message"),
        pl.struct(
            pl.concat_str(audit, "stage", separator="/", ignore_nulls=True).alias("uid"),
            audit.alias("correlation_uid"),
            pl.lit(ocsf.VERSION).alias("version"),
            pl.lit("audit").alias("log_name"),
            pl.col("level").alias("log_level"),
            pl.col("stage").alias("event_code"),
            pl.struct(pl.lit("Kubernetes").alias("name"), pl.col("product").alias("version")).alias(
                "product"
            ),
        ).alias("metadata"),
        pl.struct(pl.col("who").alias("user")).alias("actor"),
        pl.col("as_whom").alias("user"),
        pl.struct("ip").alias("src_endpoint"),
        pl.struct(
            audit.alias("uid"),
            "url",
            pl.col("agent").alias("user_agent"),
            pl.col("forwarded").alias("x_forwarded_for"),
        ).alias("http_request"),
        pl.struct("code").alias("http_response"),
        pl.struct(
            pl.col("verb").alias("operation"),
            "version",
            pl.struct(audit.alias("uid")).alias("request"),
            "response",
        ).alias("api"),
        "resources",
    )


SOURCE = Kubernetes()
