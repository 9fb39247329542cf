"""CloudTrail records: who called which AWS API, from where, on what, and whether it went well.

Each becomes API Activity 6003, a sign-in to the console Authentication 3002. `metadata.uid` is the
eventID, by which copies of one event are the same. Requests and answers stay in `raw_data`; the
ARNs in them are `resources`.

A record may stand in what carries it: an EventBridge event (`detail`), an event of LookupEvents
(`CloudTrailEvent`), a document of a search engine (`aws.cloudtrail`). One that is not whole is read
as far as its members are, and says so in `parse_error`.
"""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from muniment.event import ocsf
from muniment.event.aws import identity
from muniment.event.aws.resources import resources
from muniment.event.columns import Leftover, column
from muniment.event.each import parse_each
from muniment.event.instants import instants
from muniment.event.objects import Object, decode_object
from muniment.event.request import host
from muniment.event.schema import SCHEMA
from muniment.event.source import Context
from muniment.json_cut import readable

_NO_EVENT = "no CloudTrail record: it has neither an eventID nor an eventName"
_WHOLE_FILE = "a whole CloudTrail file: send its Records one by one"
_BULK = frozenset(("requestParameters", "responseElements"))
_TAKEN = frozenset(
    (
        *("eventID", "eventName", "eventSource", "eventTime", "eventType", "eventVersion"),
        *("apiVersion", "requestID", "sourceIPAddress", "userAgent", "errorCode", "errorMessage"),
        *("readOnly", "recipientAccountId", "eventCategory", "sharedEventID", "userIdentity"),
        *("tlsDetails", "resources", *_BULK),
    )
)
_CREATE, _READ, _UPDATE, _DELETE = 1, 2, 3, 4
_VERBS = {
    **dict.fromkeys(
        ("Create", "Run", "Add", "Register", "Import", "Request", "Allocate", "Copy"), _CREATE
    ),
    **dict.fromkeys(
        ("Describe", "Get", "List", "Head", "Lookup", "Search", "Query", "Scan", "Batch", "Check"),
        _READ,
    ),
    **dict.fromkeys(
        (
            *("Modify", "Update", "Set", "Put", "Attach", "Detach", "Associate", "Disassociate"),
            *("Enable", "Disable", "Start", "Stop", "Reboot", "Renew", "Apply", "Authorize"),
            *("Tag", "Untag", "Change", "Configure", "Enter", "Exit", "Suspend", "Resume"),
        ),
        _UPDATE,
    ),
    **dict.fromkeys(("Delete", "Remove", "Deregister", "Terminate", "Release", "Revoke"), _DELETE),
}
_WORD = re.compile(r"[A-Z][a-z]*")
_LOGON, _LOGOFF = 1, 2
_SIGN_INS = {"ConsoleLogin": _LOGON, "UserAuthentication": _LOGON, "Logout": _LOGOFF}

_TEXT = SCHEMA.field("message").type
_ACTOR = SCHEMA.field("actor").type
_RESOURCES = SCHEMA.field("resources").type
_TLS = SCHEMA.field("tls").type


class CloudTrail:
    """The source `cloudtrail`."""

    reads_parts = True

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG002
        return parse_each(lines, _read, _refusal, _events)


def _refusal(event: Object) -> str | None:
    if isinstance(event.get("eventID"), str) or isinstance(event.get("eventName"), str):
        return None
    return _WHOLE_FILE if isinstance(event.get("Records"), list) else _NO_EVENT


def _read(line: str) -> tuple[Object, str | None]:
    """The record of a line, and what is wrong with its text."""
    value = decode_object(line)
    if isinstance(value, str):
        return readable(line.encode(), _BULK), value
    if "eventID" in value or "eventName" in value:
        return value, None
    aws = value.get("aws")
    inner = value.get("detail") or (aws.get("cloudtrail") if isinstance(aws, dict) else None)
    if isinstance(text := value.get("CloudTrailEvent"), str):
        inner = decode_object(text)
    return (inner if isinstance(inner, dict) else value), None


def _events(events: list[Object]) -> pl.DataFrame:
    left = Leftover(len(events))

    def values(name: str) -> list[Any]:
        return [event.get(name) for event in events]

    def text(name: str) -> pl.Series:
        return column(values(name), _TEXT, (name,), left)

    identities = [_object(value) for value in values("userIdentity")]
    ip, _, name = host(text("sourceIPAddress"), "client")
    frame = pl.DataFrame(
        {
            "time_dt": _times(events, left),
            "uid": text("eventID"),
            "operation": text("eventName"),
            "service": text("eventSource"),
            "code": text("eventType"),
            "version": text("eventVersion"),
            "api_version": text("apiVersion"),
            "request": text("requestID"),
            "ip": ip,
            "client": name,
            "agent": text("userAgent"),
            "error": text("errorCode"),
            "error_message": text("errorMessage"),
            "account": text("recipientAccountId"),
            "category": text("eventCategory"),
            "shared": text("sharedEventID"),
            "class_uid": pl.Series([_class(event) for event in events], dtype=pl.Int32),
            "activity_id": pl.Series([_activity(event) for event in events], dtype=pl.Int32),
            "failed": pl.Series([_failed(event) for event in events], dtype=pl.Boolean),
            "is_mfa": pl.Series([identity.used_mfa(event) for event in events], dtype=pl.Boolean),
            "actor": column([identity.actor(one) for one in identities], _ACTOR, (), left),
            "resources": column([resources(e) for e in events], _RESOURCES, ("resources",), left),
            "tls": column([_tls(v) for v in values("tlsDetails")], _TLS, ("tlsDetails",), left),
        }
    )
    for row, (event, who) in enumerate(zip(events, identities, strict=True)):
        rest = {k: v for k, v in event.items() if k not in _TAKEN and v is not None}
        more = {k: v for k, v in who.items() if k not in identity.TAKEN and v not in (None, {})}
        left.add_members(row, {**rest, "userIdentity": more} if more else rest)
    return _nested(frame).with_columns(left.text())


def _times(events: list[Object], left: Leftover) -> pl.Series:
    given = [event.get("eventTime") for event in events]
    made = instants(given)
    for row in made.is_null().arg_true().to_list():
        if given[row] is not None:
            left.add(row, ("eventTime",), given[row])
    return made


def _object(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _tls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    names = {"tlsVersion": "version", "cipherSuite": "cipher", "clientProvidedHostHeader": "sni"}
    return {names.get(key, key): inner for key, inner in value.items()}


def _class(event: Object) -> int:
    sign_in = _text(event, "eventName") in _SIGN_INS and (
        _text(event, "eventSource").startswith("signin.")
        or _text(event, "eventType") == "AwsConsoleSignIn"
    )
    return ocsf.AUTHENTICATION if sign_in else ocsf.API_ACTIVITY


def _activity(event: Object) -> int:
    name = _text(event, "eventName")
    if _class(event) == ocsf.AUTHENTICATION:
        return _SIGN_INS[name]
    if event.get("readOnly") in (True, "true"):
        return _READ
    verb = _WORD.match(name)
    return _VERBS.get(verb[0], ocsf.OTHER) if verb else 0


def _failed(event: Object) -> bool:
    if event.get("errorCode") or event.get("errorMessage"):
        return True
    answer = _object(event.get("responseElements"))
    return "Failure" in (answer.get("ConsoleLogin"), answer.get("UserAuthentication"))


def _text(event: Object, name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _nested(frame: pl.DataFrame) -> pl.DataFrame:
    signing = pl.col("class_uid") == ocsf.AUTHENTICATION
    failed = pl.col("failed")
    have = {field.name for field in frame.schema["actor"].fields}  # type: ignore[attr-defined]
    user = [pl.when(signing).then(pl.col("actor").struct.field("user")).alias("user")]
    return frame.select(
        "class_uid",
        "activity_id",
        "time_dt",
        pl.when(failed).then(ocsf.FAILURE).otherwise(ocsf.SUCCESS).alias("status_id"),
        pl.when(failed).then(ocsf.LOW).otherwise(ocsf.INFORMATIONAL).alias("severity_id"),
        pl.col("error").alias("status_code"),
        pl.coalesce("error_message", "error").alias("status_detail"),
        pl.concat_str("service", "operation", separator=" ", ignore_nulls=True)
        .replace("", None)
        .alias("message"),
        pl.struct(
            "uid",
            pl.col("shared").alias("correlation_uid"),
            pl.lit(ocsf.VERSION).alias("version"),
            pl.col("category").alias("log_name"),
            pl.col("code").alias("event_code"),
            pl.col("account").alias("tenant_uid"),
            pl.struct(pl.lit("AWS CloudTrail").alias("name"), "version").alias("product"),
        ).alias("metadata"),
        "actor",
        *(user if "user" in have else []),
        "is_mfa",
        pl.struct("ip", pl.col("client").alias("name")).alias("src_endpoint"),
        pl.struct(pl.col("agent").alias("user_agent")).alias("http_request"),
        pl.struct(
            "operation",
            pl.col("api_version").alias("version"),
            pl.struct(pl.col("service").alias("name")).alias("service"),
            pl.struct(pl.col("request").alias("uid")).alias("request"),
            pl.struct("error", "error_message").alias("response"),
        ).alias("api"),
        "resources",
        "tls",
    )


SOURCE = CloudTrail()
