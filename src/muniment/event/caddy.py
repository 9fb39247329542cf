"""Caddy: its access log, requests to its administration interface, its own messages.

Caddy writes JSON, or for a terminal `time TAB level TAB logger TAB message TAB {fields}`. Access
logs come from the logger `http.log.access`, requests to change the configuration from `admin.api`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl

from muniment.event import container, ocsf
from muniment.event.envoy_names import CIPHERS
from muniment.event.instants import instants
from muniment.event.lifecycle import Message, lifecycle_events
from muniment.event.objects import Object, as_text, decode_object, salvage
from muniment.event.requests_read import Act, Members, Request, request_events
from muniment.event.source import Context, merge
from muniment.event.syslog_header import put_back, strip

_PRODUCT, _APP = "Caddy", "caddy"
_CONSOLE = re.compile(
    r"(?:\x1b\[[0-9;]*m)*([0-9T:/.+ Z-]{8,40})(?:\x1b\[[0-9;]*m)*\t"
    r"(?:\x1b\[[0-9;]*m)*([A-Z]{3,6})(?:\x1b\[[0-9;]*m)*\t(?:([^\t ]*)\t)?([^\t]*)(?:\t(\{.*\}))?",
    re.DOTALL,
)
_TLS = {769: "TLSv1.0", 770: "TLSv1.1", 771: "TLSv1.2", 772: "TLSv1.3"}
_ACTIVITIES = (
    (r"^serving initial configuration|^server running|^admin endpoint started", ocsf.START),
    (r"shutdown complete|^shutting down|^exiting|^stopped previous server", ocsf.STOP),
    (r"^load complete|^config is unchanged|^certificate obtained|^using config", ocsf.UPDATE),
)
_UNKNOWN = "neither JSON nor the console's form of Caddy's log"
_CERTAIN = r'(?s)^\{.*"logger":"(?:http\.log\.access|admin\.api)[^"]*".*\}$'


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be Caddy's."""
    return bodies.str.contains(_CERTAIN)


class Caddy:
    """The source `caddy`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        bodies, stamp = container.unwrap(lines)
        header = strip(bodies, context)
        read = [_read(line) for line in header["body"].to_list()]
        kinds: dict[str, list[int]] = {}
        for row, (value, _) in enumerate(read):
            kinds.setdefault(_kind(value), []).append(row)
        parts = []
        for kind, rows in kinds.items():
            made = _EVENTS[kind]([read[row] for row in rows])
            parts.append((pl.Series(rows, dtype=pl.UInt32), made))
        events = put_back(merge(parts, len(lines)), header, context.zone)
        return container.with_time(events, stamp)


_Read = tuple[Object | None, str | None]


def _read(line: str) -> _Read:
    """The object of a line, and what is wrong with its text."""
    if line.startswith("{"):
        value = decode_object(line)
        return (salvage(line), value) if isinstance(value, str) else (value, None)
    match = _CONSOLE.fullmatch(line)
    if match is None:
        return None, _UNKNOWN
    time, level, logger, message, fields = match.groups()
    rest = decode_object(fields) if fields else {}
    if isinstance(rest, str):
        return None, rest
    stamp = time.replace("/", "-").replace(" ", "T") if "/" in time else time
    return {"ts": stamp, "level": level, "logger": logger, "msg": message, **rest}, None


def _kind(value: Object | None) -> str:
    if value is None:
        return "broken"
    logger = value.get("logger")
    if isinstance(value.get("request"), dict) and "status" in value:
        return "access"
    if isinstance(logger, str) and logger.startswith("admin.api") and "method" in value:
        return "admin"
    return "own" if isinstance(value.get("msg"), str) else "broken"


def _access(rows: list[_Read]) -> pl.DataFrame:
    times = _times(rows)
    made = []
    for (value, fault), micros in zip(rows, times, strict=True):
        of = Members(value or {})
        flat = _request(of, ("request",))
        flat["micros"] = micros
        seconds = of.number("duration")
        flat |= {
            "duration": None if seconds is None else int(seconds * 1000),
            "status": of.text("status"),
            "response_body": of.whole("size"),
            "request_body": of.whole("bytes_read"),
            "user": of.text("user_id"),
            "content_type": of.header("resp_headers", "Content-Type"),
            "frontend": _server(of.text("logger")),
        }
        made.append(Request(flat, _left(of), None, fault))
    return request_events(made, _PRODUCT, "caddy")


def _server(logger: str | None) -> str | None:
    """The name that the administrator gave the log: `http.log.access.NAME`."""
    name = (logger or "").removeprefix("http.log.access").removeprefix(".")
    return name or None


def _request(of: Members, path: tuple[str, ...]) -> dict[str, Any]:
    remote = of.text(*path, "remote_addr")  # before 2.5
    ip, port = of.text(*path, "remote_ip"), of.whole(*path, "remote_port")
    if remote and ip is None:
        ip, _, digits = remote.rpartition(":")
        ip, port = ip.strip("[]"), int(digits) if digits.isdecimal() and len(digits) < 6 else None
    client = of.text(*path, "client_ip")
    protocol = of.text(*path, "proto") or ""
    version = of.take(*path, "tls", "version")
    suite = of.take(*path, "tls", "cipher_suite")
    return {
        # A trusted proxy's word for who it was; the port is the peer's.
        "client_ip": client or ip,
        "client_port": port if client in (None, ip) else None,
        "method": of.text(*path, "method"),
        "target": of.text(*path, "uri"),
        "authority": of.text(*path, "host"),
        "version": protocol.removeprefix("HTTP/") or None,
        "agent": of.header(*path, "headers", "User-Agent"),
        "referrer": of.header(*path, "headers", "Referer"),
        "request_id": of.header(*path, "headers", "X-Request-Id"),
        "tls_version": _TLS.get(version) if isinstance(version, int) else None,
        "tls_cipher": CIPHERS.get(suite) if isinstance(suite, int) else None,
        "tls_sni": of.text(*path, "tls", "server_name"),
        "secure": None if version is None else "https",
    }


def _admin(rows: list[_Read]) -> pl.DataFrame:
    times = _times(rows)
    made = []
    for (value, fault), micros in zip(rows, times, strict=True):
        of = Members(value or {})
        flat = _request(of, ())
        message = of.text("msg")
        status = of.text("status_code")
        flat |= {"micros": micros, "status": status}
        flat["message"] = " ".join(p for p in (message, flat["method"], flat["target"]) if p)
        of.take("logger")
        made.append(Request(flat, _left(of), _act(flat["method"], flat["target"]), fault))
    return request_events(made, _PRODUCT, "caddy admin")


def _act(method: str | None, target: str | None) -> Act:
    """What the documentation of Caddy's API says of a path."""
    path = (target or "").partition("?")[0]
    parts = [part for part in path.split("/") if part]
    operation = f"{method or '?'} {path}"
    if not parts:
        return Act(operation)
    if parts[0] in ("config", "id"):
        return Act(operation, "config", "/".join(parts[1:]) or "/")
    if parts[0] in ("load", "adapt"):
        return Act(operation, "config", "/")
    return Act(operation, parts[0], "/".join(parts[1:]) or None)


def _own(rows: list[_Read]) -> pl.DataFrame:
    times = _times(rows)
    messages = []
    for value, fault in rows:
        rest = dict(value or {})
        text, level = as_text(rest.pop("msg", None)), as_text(rest.pop("level", None))
        rest.pop("ts", None)
        messages.append(Message(text, None, level, rest, fault))
    events = lifecycle_events(messages, _PRODUCT, _APP, _ACTIVITIES)
    stamps = pl.Series(times, dtype=pl.Int64).cast(pl.Datetime("us")).cast(pl.Datetime("us", "UTC"))
    return events.with_columns(stamps.alias("time_dt"))


def _broken(rows: list[_Read]) -> pl.DataFrame:
    return pl.DataFrame(
        {"parse_error": pl.Series([why or _UNKNOWN for _, why in rows], dtype=pl.String)}
    )


def _times(rows: list[_Read]) -> list[int | None]:
    """Microseconds since the epoch; seconds with a fraction unless the format was changed."""
    values = [(value or {}).get("ts") for value, _ in rows]
    made: list[int | None] = instants([_zoned(value) for value in values]).dt.epoch("us").to_list()
    return made


def _zoned(value: Any) -> Any:
    """`wall` times name no zone: they are those of UTC, as for any other log."""
    if isinstance(value, str) and re.fullmatch(r"[0-9-]{10}T[0-9:.]{8,18}", value):
        return f"{value}Z"
    return value


def _left(of: Members) -> Object:
    for name in ("ts", "level", "msg", "common_log"):
        of.rest.pop(name, None)
    return of.rest


_EVENTS: dict[str, Callable[[list[_Read]], pl.DataFrame]] = {
    "access": _access,
    "admin": _admin,
    "own": _own,
    "broken": _broken,
}
SOURCE = Caddy()
