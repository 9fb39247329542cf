"""HAProxy Data Plane API: who asked it to change what, and what it says about itself.

Its logs are logrus's, as text or JSON; its access log stands there as `started handling request`
and `completed handling request` with fields, or as a line in Apache's combined format.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote

import polars as pl

from muniment.event import container, ocsf
from muniment.event.lifecycle import Message, lifecycle_events
from muniment.event.logfmt import pairs
from muniment.event.objects import Object, as_text, decode_object, salvage
from muniment.event.own.convert import go_milliseconds
from muniment.event.requests_read import Act, Members, Request, request_events
from muniment.event.source import Context, merge
from muniment.event.syslog_header import put_back, strip

_PRODUCT, _APP, _SERVICE = "HAProxy Data Plane API", "dataplaneapi", "dataplaneapi"
_COMBINED = re.compile(
    r'([^ "]{1,64}) - (.{1,256}?) \[([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4})\] '
    r'"([A-Z]{3,16}) ([^" ]*)(?: (HTTP/[0-9.]+))?" ([0-9]{3}) ([0-9]+|-)'
    r'(?: "([^"]*)" "([^"]*)")?(?: ([0-9]+))?\s*'
)
_FORMS = ("started handling request", "completed handling request")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_UNKNOWN = "neither logfmt nor JSON nor an access line of the Data Plane API"
_ACTIVITIES = (
    (r"^HAProxy Data Plane API v|^Build from|^Serving ", ocsf.START),
    (r"[Ss]hutting down|^Stopped", ocsf.STOP),
    (r"[Rr]eload|[Rr]estart", ocsf.RESTART),
)
_WITH_PARENT = ("backend", "frontend", "parent_name", "map", "section")
# Collections that a name has in their parent: a server is known as `web/w1`.
_INNER = {"servers", "server_templates", "binds"}


class DataPlane:
    """The source `dataplaneapi`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        bodies, stamp = container.unwrap(lines)
        header = strip(bodies, context)
        requests: dict[int, Request] = {}
        messages: dict[int, Message] = {}
        for row, line in enumerate(header["body"].to_list()):
            read = _read(line)
            if isinstance(read, Request):
                requests[row] = read
            else:
                messages[row] = read
        parts = []
        if requests:
            made = request_events(list(requests.values()), _PRODUCT, _SERVICE)
            parts.append((pl.Series(list(requests), dtype=pl.UInt32), made))
        if messages:
            own = lifecycle_events(list(messages.values()), _PRODUCT, _APP, _ACTIVITIES)
            told = pl.Series([one.fault != _UNKNOWN for one in messages.values()])
            kind = pl.when(pl.lit(told)).then(pl.col("class_uid", "activity_id"))
            parts.append((pl.Series(list(messages), dtype=pl.UInt32), own.with_columns(kind)))
        events = put_back(merge(parts, len(lines)), header, context.zone)
        return container.with_time(events, stamp)


def _read(line: str) -> Request | Message:
    fault = None
    value: Object | None
    if line.startswith("{"):
        decoded = decode_object(line)
        if isinstance(decoded, str):
            value, fault = salvage(line), decoded
        else:
            value = decoded
    else:
        found = pairs(line)
        value = None if found is None else dict(found)
    if value is None or not isinstance(value.get("msg"), str):
        combined = _COMBINED.fullmatch(line)
        return Message(None, fault=_UNKNOWN) if combined is None else _of_combined(combined, {})
    of = Members(value)
    time, level, text = of.text("time"), of.text("level"), of.text("msg")
    combined = _COMBINED.fullmatch(text or "")
    if combined is not None:
        return _of_combined(combined, of.rest)
    if text in _FORMS and ("request" in value or "status" in value):
        return _of_fields(of, text, time, fault)
    return Message(text, time, level, of.rest, fault)


def _of_fields(of: Members, text: str, time: str | None, fault: str | None) -> Request:
    remote = of.text("remote") or ""
    ip, _, port = (
        remote.rpartition(":") if remote.count(":") in (1, 8) or "]" in remote else (remote, "", "")
    )
    method, target = of.text("method"), of.text("request")
    flat: dict[str, Any] = {
        "stamp": time,
        "client_ip": ip.strip("[]") or None,
        "client_port": int(port) if port.isdecimal() and len(port) < 6 else None,
        "method": method,
        "target": target,
        "status": of.text("status"),
        "response_body": of.whole("length"),
        "duration": go_milliseconds(of.text("took") or ""),
        "user": of.text("user"),
        "agent": of.text("user_agent"),
        "request_id": of.text("request_id"),
        "message": " ".join(part for part in (text, method, target) if part),
    }
    return Request(flat, of.rest, _act(method, target, flat), fault)


def _of_combined(match: re.Match[str], rest: Object) -> Request:
    client, user, time, method, target, protocol, status, size, referrer, agent, micros = (
        match.groups()
    )
    flat: dict[str, Any] = {
        "stamp": _iso(time),
        "client_ip": client if re.fullmatch(r"[0-9A-Fa-f.:]+", client) else None,
        "client_name": None if re.fullmatch(r"[0-9A-Fa-f.:]+", client) else client,
        "user": None if user == "-" else user,
        "method": method,
        "target": target,
        "version": (protocol or "").removeprefix("HTTP/") or None,
        "status": status,
        "response_body": int(size) if size.isdecimal() and len(size) < 19 else None,
        "referrer": referrer if referrer not in (None, "", "-") else None,
        "agent": agent if agent not in (None, "", "-") else None,
        "duration": int(micros) // 1000 if micros and len(micros) < 19 else None,
    }
    left = {name: value for name, value in rest.items() if name not in ("time", "level", "msg")}
    return Request(flat, left, _act(method, target, flat), None)


def _iso(time: str) -> str | None:
    """`01/Jun/2021:10:00:03 +0000` as RFC 3339."""
    month = _MONTHS.find(time[3:6])
    if month < 0 or month % 3:
        return None
    return f"{time[7:11]}-{month // 3 + 1:02}-{time[:2]}T{time[12:20]}{time[21:24]}:{time[24:]}"


def _act(method: str | None, target: str | None, flat: dict[str, Any]) -> Act:
    """The object of a path of the API, versions 2 and 3; its parent goes to the backend or so."""
    path, _, query = (target or "").partition("?")
    parts = [unquote(part) for part in path.split("/") if part][:12]
    operation = f"{method or '?'} {path}"
    if parts[:1] and re.fullmatch(r"v[0-9]+", parts[0]):
        parts = parts[1:]
    if parts[:2] == ["services", "haproxy"]:
        parts = parts[3:]
    if not parts:
        return Act(operation)
    given = parse_qs(query[:2048])
    parent = next((given[name][0] for name in _WITH_PARENT if given.get(name)), None)
    kind, name = parts[0], parts[1] if len(parts) > 1 else None
    if len(parts) > 2 and name is not None:
        parent, kind = name, parts[2]
        name = parts[3] if len(parts) > 3 else None
    if kind in ("servers", "server_templates") and parent:
        flat["backend"] = as_text(parent)
        flat["server"] = name
    if kind == "frontends":
        flat["frontend"] = name
    if kind == "backends":
        flat["backend"] = name
    whole = f"{parent}/{name}" if parent and name and kind in _INNER else name
    return Act(operation, _singular(kind), whole)


def _singular(kind: str) -> str:
    if kind in ("ssl_certificates", "certs"):
        return "certificate"
    if kind.endswith("ies"):
        return f"{kind[:-3]}y"
    return kind.removesuffix("s")


SOURCE = DataPlane()
