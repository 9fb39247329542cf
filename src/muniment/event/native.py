"""The short native form of an event: who did what to what, with what outcome.

    {"time": "2026-11-20T23:06:18.734Z", "actor": "alice", "action": "certificate.update",
     "resource": "edge/www", "outcome": "success", "reason": "renewal",
     "client": "192.0.2.7:50312", "request_id": "r-17", "trace_id": "4bf92f35..."}

Members, all but `action` optional:

- `action`: text. Its verb gives the activity (create, read, update, delete). Log-ins and log-outs
  become Authentication, verbs on users, groups, roles and tokens Entity Management, all else API
  Activity with the text as `api.operation`.
- `time`: RFC 3339, or a number since the epoch. `id`: of the event.
- `actor`: a name, or {name, id|uid, type, email, domain, groups, session, app}.
- `resource`: a name, {name, id|uid, type, namespace, version}, or a list of those.
- `outcome`: `success`, `failure`, `denied` ...; `reason`: text. `severity`: a word. Where they are
  missing, an HTTP `status` speaks for them.
- `client`: the address acted from, with or without port, or {ip, port, hostname, name}.
- `service`: the service acted on. `comment`, `message`: text. `tenant`: text.
- `request_id`, `trace_id`; `method`, `url`, `path`, `user_agent`, `status` (of HTTP),
  `duration_ms`.

Any other member, and any value of another type, is kept in `unmapped`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import polars as pl

from muniment.event import ocsf, ocsf_columns
from muniment.event.columns import Leftover, column
from muniment.event.instants import instants
from muniment.event.nulls import nulls
from muniment.event.objects import Object
from muniment.event.request import host, url
from muniment.event.schema import SCHEMA
from muniment.event.verbs import classify, outcome_status

ACTOR = SCHEMA.field("actor").type
_USER = SCHEMA.field("user").type
RESOURCES = SCHEMA.field("resources").type
_ENDPOINT = SCHEMA.field("src_endpoint").type
_TEXT = SCHEMA.field("message").type
_WHOLE = SCHEMA.field("duration").type
TEXTS = (
    *("id", "outcome", "reason", "severity", "service", "comment", "message", "tenant"),
    *("request_id", "trace_id", "method", "url", "path", "user_agent"),
)
KNOWN = frozenset(
    (*TEXTS, "action", "time", "actor", "resource", "client", "status", "duration_ms")
)


def parse(events: list[Object]) -> pl.DataFrame:
    """Events with an `action` that is text."""
    taken = _Taken(events)
    actions = [event["action"] for event in events]
    resources = [_resources(value) for value in taken.values("resource")]
    actors = [_actor(value) for value in taken.values("actor")]
    classes = [
        classify(action, _type(listed)) for action, listed in zip(actions, resources, strict=True)
    ]
    outcome = taken.text("outcome")
    frame = pl.DataFrame(
        {
            "class_uid": pl.Series([c for c, _ in classes], dtype=pl.Int32),
            "activity_id": pl.Series([a for _, a in classes], dtype=pl.Int32),
            "action": pl.Series(actions, dtype=pl.String),
            "time_dt": taken.times("time"),
            "uid": taken.text("id"),
            "actor": taken.column("actor", actors, ACTOR),
            "resources": taken.column("resource", resources, RESOURCES),
            "outcome": outcome,
            "status_id": _statuses(outcome),
            "status_detail": taken.text("reason"),
            "severity": taken.text("severity").str.to_lowercase(),
            "service": taken.text("service"),
            "comment": taken.text("comment"),
            "message": taken.text("message"),
            "tenant": taken.text("tenant"),
            "trace_id": taken.text("trace_id"),
            "request_id": taken.text("request_id"),
            "method": taken.text("method"),
            "user_agent": taken.text("user_agent"),
            "code": taken.whole("status").cast(pl.Int32, strict=False),
            "duration": taken.whole("duration_ms"),
            "target": taken.text("url").fill_null(taken.text("path")),
            "src_endpoint": _client(taken),
        }
    )
    return nested(frame).with_columns(taken.unmapped())


class _Taken:
    """The members of events, each given out once; all others are kept."""

    def __init__(self, events: list[Object]) -> None:
        self._events = events
        self._keys: set[str] = set().union(*events)
        self.leftover = Leftover(len(events))

    def values(self, name: str) -> list[Any]:
        if name not in self._keys:
            return [None] * len(self._events)
        return [event.get(name) for event in self._events]

    def column(self, name: str, values: list[Any], kind: Any) -> pl.Series:
        return column(values, kind, (name,), self.leftover)

    def text(self, name: str) -> pl.Series:
        if name not in self._keys:
            return nulls(len(self._events), pl.String)
        return self.column(name, self.values(name), _TEXT)

    def whole(self, name: str) -> pl.Series:
        return self.column(name, self.values(name), _WHOLE)

    def times(self, name: str) -> pl.Series:
        values = self.values(name)
        made = instants(values)
        for row in made.is_null().arg_true().to_list():
            if values[row] is not None:
                self.leftover.add(row, (name,), values[row])
        return made

    def unmapped(self) -> pl.Series:
        others = self._keys - KNOWN
        if others:
            for row, event in enumerate(self._events):
                rest = {k: v for k, v in event.items() if k in others and v is not None}
                self.leftover.add_members(row, rest)
        return self.leftover.text()


def _actor(value: Any) -> Any:
    if isinstance(value, str):
        return {"user": {"name": value}}
    if not isinstance(value, dict):
        return value
    user = dict(value)
    made: Object = {"user": user}
    for alias, name in (("id", "uid"), ("email", "email_addr")):
        if alias in user:
            user.setdefault(name, user.pop(alias))
    groups = user.get("groups")
    if isinstance(groups, list):
        user["groups"] = [{"name": g} if isinstance(g, str) else g for g in groups]
    if isinstance(user.get("session"), str):
        made["session"] = {"uid": user.pop("session")}
    if isinstance(user.get("app"), str):
        made["app_name"] = user.pop("app")
    return made


def _resources(value: Any) -> Any:
    if value is None:
        return None
    return [_resource(each) for each in (value if isinstance(value, list) else [value])]


def _resource(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "id" in value and "uid" not in value:
        return {("uid" if key == "id" else key): inner for key, inner in value.items()}
    return value


def _type(resources: Any) -> str:
    first = resources[0] if resources else None
    kind = first.get("type") if isinstance(first, dict) else None
    return kind if isinstance(kind, str) else ""


@lru_cache(maxsize=4096)
def _status(outcome: str) -> int:
    return outcome_status(outcome)


def _statuses(outcome: pl.Series) -> pl.Series:
    made = [None if text is None else _status(text) for text in outcome.to_list()]
    return pl.Series(made, dtype=pl.Int32)


def _client(taken: _Taken) -> pl.Series:
    values = taken.values("client")
    texts = pl.Series([v if isinstance(v, str) else None for v in values], dtype=pl.String)
    others = [None if isinstance(v, str) else v for v in values]
    ip, port, name = host(texts, "c")
    plain = pl.DataFrame({"ip": ip, "port": port, "name": name})
    if all(value is None for value in others):
        return plain.to_struct()
    given = taken.column("client", others, _ENDPOINT)
    wide = plain.with_columns(
        pl.lit(None, pl.String).alias(n) for n in ("hostname", "svc_name", "uid")
    ).select("ip", "port", "hostname", "name", "svc_name", "uid")
    full = given.struct.unnest()
    missing = [pl.lit(None, wide.schema[n]).alias(n) for n in wide.columns if n not in full.columns]
    full = full.with_columns(missing).select(wide.columns)
    return pl.select(
        pl.when(pl.lit(texts.is_null()))
        .then(pl.lit(full.to_struct()))
        .otherwise(pl.lit(wide.to_struct()))
    ).to_series()


def nested(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of the schema from the flat frame that both ways of parsing make."""
    entity = pl.col("class_uid") == ocsf.ENTITY_MANAGEMENT
    login = pl.col("class_uid") == ocsf.AUTHENTICATION
    first = pl.col("resources").list.first()
    places = url(frame["target"])
    http = [
        pl.col("request_id").alias("uid"),
        pl.col("method").alias("http_method"),
        pl.struct(pl.lit(places[name]) for name in places.columns).alias("url"),
        pl.col("user_agent"),
    ]
    shape = {f.name: f.dtype for f in frame.schema["resources"].inner.fields}  # type: ignore[attr-defined]
    named = [n for n in ("name", "uid", "type", "version") if n in shape]
    about = pl.struct(first.struct.field(n).alias(n) for n in named) if named else None
    return frame.select(
        "class_uid",
        "activity_id",
        "time_dt",
        "actor",
        "resources",
        pl.coalesce("status_id", ocsf_columns.http_status_id("code", "code")).alias("status_id"),
        pl.col("outcome").alias("status_code"),
        "status_detail",
        "comment",
        "duration",
        "src_endpoint",
        pl.coalesce("message", "action").alias("message"),
        ocsf_columns.lookup("severity", ocsf.SEVERITY_WORDS, None)
        .fill_null(ocsf_columns.http_severity_id("code"))
        .alias("severity_id"),
        pl.struct(
            pl.col("action").alias("operation"),
            pl.struct(pl.col("service").alias("name")).alias("service"),
        ).alias("api"),
        pl.struct(pl.col("service").alias("name")).alias("service"),
        pl.struct(http).alias("http_request"),
        pl.struct("code").alias("http_response"),
        pl.struct(
            "uid", pl.col("trace_id").alias("correlation_uid"), pl.col("tenant").alias("tenant_uid")
        ).alias("metadata"),
        *([pl.when(entity).then(about).alias("entity")] if about is not None else []),
        *_login_user(frame, login),
    )


def _login_user(frame: pl.DataFrame, login: pl.Expr) -> list[pl.Expr]:
    fields = {f.name for f in frame.schema["actor"].fields}  # type: ignore[attr-defined]
    if "user" not in fields:
        return []
    return [pl.when(login).then(pl.col("actor").struct.field("user")).alias("user")]
