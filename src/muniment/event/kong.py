"""Kong: the JSON of its log plugins, NGINX's access logs of proxy and Admin API, audit entries.

The access log of the Admin API is NGINX's combined format; what it does to an entity is API
Activity. Kong may write it into the same file as the proxy's: a request whose path is that of an
entity of the Admin API is taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl

from muniment.event import container
from muniment.event.access import of_product
from muniment.event.administration import with_acts
from muniment.event.nginx import access, error
from muniment.event.objects import Object, decode_object, salvage
from muniment.event.requests_read import Act, Members, Request, request_events
from muniment.event.source import Context, Fits, Parse, merge, parse_first
from muniment.event.syslog_header import put_back, strip

_PRODUCT, _SERVICE = "Kong", "kong admin"
_ENTITIES = (
    "services|routes|consumers|consumer_groups|plugins|upstreams|targets|certificates|"
    "ca_certificates|snis|vaults|keys|key-sets|workspaces|rbac|admins|licenses|config|filter-chains"
)
# /services, /services/web/routes/r1, /upstreams/u/targets/t/healthy, /team/routes/x (a workspace)
_PATH = re.compile(
    rf"/(?:[^/]+/)?(?P<kind>{_ENTITIES})(?:/(?P<name>[^/]+))?"
    rf"(?:/(?P<inner>{_ENTITIES})(?:/(?P<last>[^/]+))?)?(?:/[a-z_]+)*/?"
)
_ADMIN = rf"^/(?:{_ENTITIES})(?:/|$)"
_REQUEST_ID = r' kong_request_id: "([0-9a-f-]{0,64})"$'
_CERTAIN = r'(?s)^\{.*"latencies":\{[^}]*"(?:kong|proxy)":.*\}$'
_UNKNOWN = "no Kong log format that is known fits the line"
_NO_ACCESS = "none of the members of Kong's logs"


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be Kong's."""
    return bodies.str.contains(_CERTAIN)


class Kong:
    """The source `kong`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        bodies, stamp = container.unwrap(lines)
        header = strip(bodies, context)
        events = parse_first(_FORMATS, header["body"], context, _UNKNOWN)
        return container.with_time(put_back(events, header, context.zone), stamp)


def _combined(lines: pl.Series, context: Context) -> pl.DataFrame:
    """NGINX's combined format; Kong 3 adds the request's id."""
    number = lines.str.extract(_REQUEST_ID)
    known = number.is_not_null()
    bare = pl.select(
        pl.when(known).then(lines.str.replace(_REQUEST_ID, "")).otherwise(lines)
    ).to_series()
    events = of_product(access.parse(bare, context), _PRODUCT)
    if known.any():
        request = events["http_request"].struct.unnest().with_columns(number.alias("uid"))
        events = events.with_columns(request.to_struct("http_request"))
    return with_acts(events, _acts(events), _SERVICE)


def _acts(events: pl.DataFrame) -> pl.DataFrame:
    request = events["http_request"].struct.unnest()
    path = request["url"].struct.field("path")
    found = [None if one is None else _act("", one) for one in path.to_list()]
    act = path.str.contains(_ADMIN).fill_null(False)
    return pl.DataFrame(
        {
            "act": act,
            "method": request["http_method"],
            "kind": pl.Series([one.kind if one else None for one in found], dtype=pl.String),
            "name": pl.Series([one.name if one else None for one in found], dtype=pl.String),
            "path": path,
        }
    ).with_columns(pl.concat_str("method", "path", separator=" ").alias("operation"))


def _errors(lines: pl.Series, context: Context) -> pl.DataFrame:
    return of_product(error.parse(lines, context), _PRODUCT)


def _objects(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    kinds: dict[str, list[int]] = {}
    read: list[tuple[Object | None, str | None]] = []
    for row, line in enumerate(lines.to_list()):
        value = decode_object(line)
        read.append((salvage(line), value) if isinstance(value, str) else (value, None))
        kinds.setdefault(_kind(read[-1][0]), []).append(row)
    parts = []
    for kind, rows in kinds.items():
        if kind == "broken":
            why = [read[row][1] or _NO_ACCESS for row in rows]
            made = pl.DataFrame({"parse_error": pl.Series(why, dtype=pl.String)})
        else:
            requests = [_READERS[kind](Members(v or {}), why) for v, why in (read[r] for r in rows)]
            made = request_events(requests, _PRODUCT, _SERVICE)
        parts.append((pl.Series(rows, dtype=pl.UInt32), made))
    return merge(parts, len(lines))


def _kind(value: Object | None) -> str:
    if value is None:
        return "broken"
    if isinstance(value.get("request"), dict) or isinstance(value.get("latencies"), dict):
        return "access"
    return "audit" if "method" in value and "path" in value else "broken"


def _access(of: Members, fault: str | None) -> Request:
    started = of.whole("started_at")
    upstream = of.whole("latencies", "proxy")
    tries, attempts = of.take("tries"), []
    for one in tries if isinstance(tries, list) else []:
        if isinstance(one, dict):
            attempts.append(_attempt(one))
    last = attempts[-1]["network_endpoint"] if attempts else {}
    target = of.text("request", "uri")
    flat: dict[str, Any] = {
        "micros": None if started is None else started * 1000,
        "client_ip": of.text("client_ip"),
        "method": of.text("request", "method"),
        "target": target or of.text("request", "url"),
        "request_id": of.text("request", "id"),
        "request_length": of.whole("request", "size"),
        "authority": of.header("request", "headers", "host"),
        "agent": of.header("request", "headers", "user-agent"),
        "referrer": of.header("request", "headers", "referer"),
        "forwarded": _listed(of.header("request", "headers", "x-forwarded-for")),
        "tls_version": of.text("request", "tls", "version"),
        "tls_cipher": of.text("request", "tls", "cipher"),
        "status": of.text("response", "status"),
        "response_length": of.whole("response", "size"),
        "content_type": of.header("response", "headers", "content-type"),
        "server_status": _code(of.text("upstream_status")),
        "duration": of.whole("latencies", "request"),
        "user": of.text("consumer", "username"),
        "frontend": of.text("route", "name") or of.text("route", "id"),
        "backend": of.text("service", "name") or of.text("service", "id"),
        "server_ip": last.get("ip"),
        "server_port": last.get("port"),
        "server": of.text("service", "host"),
        "attempts": attempts or None,
    }
    if upstream is not None and upstream >= 0:
        flat["timings"] = {"request": None, "response": None, "upstream": upstream}
    if attempts:
        flat["load"] = {"retries": len(attempts) - 1}
    return Request(flat, of.rest, None, fault)


def _attempt(one: Object) -> dict[str, Any]:
    ip, port, code = one.get("ip"), one.get("port"), one.get("code")
    endpoint = {
        "ip": ip if isinstance(ip, str) else None,
        "port": port if isinstance(port, int) and 0 <= port < 65_536 else None,
        "name": None,
    }
    number = code if isinstance(code, int) and 0 < code < 1_000 else None
    return {"code": number, "network_endpoint": endpoint}


def _code(text: str | None) -> int | None:
    """The last of a list such as `502, 200`."""
    last = (text or "").rpartition(",")[2].strip()
    return int(last) if last.isascii() and last.isdecimal() and len(last) == 3 else None


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [one.strip() for one in text[:4096].split(",")]


def _audit(of: Members, fault: str | None) -> Request:
    """An entry of Kong Gateway's audit log of the Admin API."""
    seconds = of.number("request_timestamp")
    method, path = of.text("method"), of.text("path")
    flat: dict[str, Any] = {
        "micros": None if seconds is None else int(seconds * 1_000_000),
        "client_ip": of.text("client_ip"),
        "method": method,
        "target": path,
        "status": of.text("status"),
        "request_id": of.text("request_id"),
        "user": of.text("rbac_user_name") or of.text("rbac_user_id"),
    }
    return Request(flat, of.rest, _act(f"{method or '?'} {path or '?'}", path or ""), fault)


def _act(operation: str, target: str) -> Act:
    path = target.partition("?")[0]
    match = _PATH.fullmatch(path) or _PATH.match(path)
    if match is None:
        return Act(operation)
    kind, name = match["kind"], match["name"]
    if match["inner"] is not None:
        kind, name = match["inner"], match["last"]
    return Act(operation, _singular(kind), name)


def _singular(kind: str) -> str:
    return kind.removesuffix("s") if kind not in ("rbac", "config") else kind


_READERS: dict[str, Callable[[Members, str | None], Request]] = {
    "access": _access,
    "audit": _audit,
}
_FORMATS: tuple[tuple[Fits, Parse], ...] = (
    (lambda lines: lines.str.contains(access.STARTS), _combined),
    (lambda lines: lines.str.starts_with("{"), _objects),
    (lambda lines: lines.str.contains(error.ERROR), _errors),
)
SOURCE = Kong()
