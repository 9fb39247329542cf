"""Events as lines that a person can read at 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from muniment.cli.terminal import one_line

if TYPE_CHECKING:
    from rich.text import Text

Row = Mapping[str, Any]

MAX_RAW = 400
"""Characters of an entry's raw text that are shown; --json has all of it."""


def headline(row: Row) -> Text:
    """Returns when and what: `2026-11-21 05:33:14.123Z 404 GET /missing ...`."""
    from rich.text import Text

    line = Text(moment(row), style="cyan")
    code = get(row, "http_response.code") or get(row, "status_code")
    if code is not None:
        line.append(f" {one_line(str(code))}", style=_style_of(str(code)))
    line.append(" ")
    line.append(summary(row), style="dim" if row.get("parse_error") else "")
    return line


def place_line(row: Row) -> Text:
    """Returns where: the place that `muniment prove` takes, the source, why it did not parse."""
    from rich.text import Text

    parts = [f"  {place(row)}", str(row.get("source", ""))]
    if row.get("parse_error"):
        parts.append(f"not parsed: {row['parse_error']}")
    return Text(one_line(" · ".join(part for part in parts if part)), style="dim")


def place(row: Row) -> str:
    """Returns LOG/SHARD/INDEX."""
    return f"{row.get('log')}/{row.get('shard')}/{row.get('index')}"


def moment(row: Row) -> str:
    """Returns the time of the event in UTC, to the millisecond."""
    text = str(row.get("time_dt") or row.get("received") or "?")
    day, _, clock = text.removesuffix("Z").partition("T")
    seconds, _, fraction = clock.partition(".")
    return one_line(f"{day} {seconds}.{fraction[:3]:0<3}Z" if clock else text)


def summary(row: Row) -> str:
    """Returns what happened, in one line: a request, a change, or the text as it arrived."""
    if get(row, "http_request.http_method") or get(row, "http_request.url"):
        text = _request(row)
    elif get(row, "api.operation"):
        text = _change(row)
    else:
        text = str(row.get("message") or row.get("raw_data") or "")
    line = one_line(text)
    return line if len(line) <= MAX_RAW else f"{line[:MAX_RAW]}…"


def get(row: Row, path: str) -> Any:
    """Returns the member at a dotted path, None where it is missing."""
    value: Any = row
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _request(row: Row) -> str:
    url = get(row, "http_request.url")
    found = url if isinstance(url, Mapping) else {}
    target = found.get("path") or found.get("url_string") or ""
    if found.get("query_string") and found.get("path"):
        target += f"?{found['query_string']}"
    parts = [get(row, "http_request.http_method"), target, _client(row)]
    parts.append(_way(row))
    duration = row.get("duration")
    parts.append(f"{duration} ms" if duration is not None else None)
    return " ".join(str(part) for part in parts if part)


def _change(row: Row) -> str:
    resources = row.get("resources") or []
    names = [str(one.get("name") or one.get("uid")) for one in resources if one]
    who = get(row, "actor.user.name") or get(row, "actor.user.uid")
    parts = [who, get(row, "api.operation"), ", ".join(names), row.get("message")]
    return " ".join(str(part) for part in parts if part)


def _client(row: Row) -> str | None:
    address = get(row, "src_endpoint.ip") or get(row, "src_endpoint.name")
    return str(address) if address else None


def _way(row: Row) -> str:
    """Frontend, backend and server, as far as they are known and differ."""
    places = ("load_balancer.name", "load_balancer.dst_endpoint.svc_name")
    names = [get(row, path) for path in (*places, "load_balancer.dst_endpoint.name")]
    known = dict.fromkeys(str(name) for name in names if name)
    return f"→ {'/'.join(known)}" if known else ""


def _style_of(code: str) -> str:
    return {"5": "bold red", "4": "yellow", "2": "green"}.get(code[:1], "")
