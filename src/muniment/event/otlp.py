"""OTLP log records: the request of one record, in JSON or Protobuf, and what the record carries.

The body of a record is the line of some program, or an object. Attributes under the names of the
OpenTelemetry semantic conventions for HTTP make it HTTP Activity, whatever its body is.

Follows OTLP 1.x (logs data model, JSON encoding).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
import polars as pl

from muniment.event.envelope import Envelope, Opened
from muniment.event.facts import put_back
from muniment.event.objects import Object, as_int, as_text
from muniment.event.rendering import Renderer
from muniment.event.semconv import http_facts
from muniment.event.source import Context
from muniment.event.unpacking import Unpacked, first_hint, first_text, object_of, severity_of

_UNREADABLE = "neither JSON nor Protobuf of an OTLP request with a log record"
# severityNumber 1..24 in steps of four: trace, debug, info, warn, error, fatal.
_SEVERITIES = (1, 1, 1, 3, 4, 6)
_WHO = (
    "appname",
    "service.name",
    "k8s.container.name",
    "container.name",
    "process.executable.name",
)
_SNAKE = re.compile(r"_([a-z0-9])")
_TAKEN = {
    "body",
    "attributes",
    "timeUnixNano",
    "observedTimeUnixNano",
    "severityNumber",
    "severityText",
    "traceId",
    "eventName",
}


@cache
def _renderer() -> Renderer:
    from muniment.event.otlp_messages import renderer

    return renderer()


class OTLP(Envelope):
    """The source `otlp`."""

    def render(self, raws: Sequence[bytes]) -> list[str | None]:
        """OTLP/JSON of requests in Protobuf; None for what is JSON or cannot be read."""
        return _renderer().render(raws)

    def open(self, lines: pl.Series, context: Context) -> Opened:  # noqa: ARG002
        rows = Unpacked()
        attributes: list[Object] = []
        for line in lines.to_list():
            try:
                attributes.append(_add(rows, object_of(line)))
            except RecursionError:
                rows.add(error=_UNREADABLE)
                attributes.append({})
        opened = rows.opened()
        http, left = http_facts(attributes)
        facts = opened.facts if http is None else put_back(http, opened.facts)
        rest = [orjson.dumps({"attributes": one}).decode() if one else None for one in left]
        unmapped = pl.DataFrame({"unmapped": pl.Series(rest, dtype=pl.String)})
        return Opened(opened.body, put_back(facts, unmapped), opened.hint)


def _add(rows: Unpacked, request: Object | str) -> Object:
    """Adds the record of a request, and answers the attributes of the record."""
    if isinstance(request, str):
        rows.add(error=_UNREADABLE)
        return {}
    group = _first(request, "resourceLogs")
    part = _first(group, "scopeLogs")
    record = _first(part, "logRecords")
    if record is None or part is None or group is None:
        rows.add(error=_UNREADABLE)
        return {}
    others = len(_camel(part)["logRecords"]) - 1
    record = _camel(record)
    resource, scope = _member(group, "resource"), _member(part, "scope")
    about = _pairs(resource.get("attributes"))
    attributes = _pairs(record.get("attributes"))
    number = as_int(record.get("severityNumber")) or 0
    level = first_text(record, "severityText")
    rest: Object = {"resource": about} if about else {}
    library = {k: v for k, v in scope.items() if k != "attributes" and v}
    library |= _pairs(scope.get("attributes"))
    if library:
        rest["scope"] = library
    rest |= {k: v for k, v in record.items() if k not in _TAKEN and v}
    stamp = as_int(record.get("timeUnixNano")) or as_int(record.get("observedTimeUnixNano"))
    rows.add(
        _line(plain(record.get("body"))),
        hint=first_hint(attributes.get("appname"), *(about.get(name) for name in _WHO)),
        time=stamp // 1000 if stamp else None,
        severity=_severity(number, level),
        hostname=first_text(about, "host.name", "k8s.node.name"),
        trace=_trace(record.get("traceId")),
        level=level,
        code=first_text(record, "eventName"),
        product=first_text(about, "service.name"),
        rest=rest,
        error=f"the first of {others + 1} records was read" if others else None,
    )
    return attributes


def _first(holder: Object | None, name: str) -> Object | None:
    members = None if holder is None else _camel(holder).get(name)
    if isinstance(members, list) and members and isinstance(members[0], dict):
        return members[0]
    return None


def _camel(holder: Object) -> Object:
    """The members under the names that OTLP/JSON asks for; some senders write `log_records`."""
    if not any("_" in name for name in holder):
        return holder
    return {_SNAKE.sub(lambda match: match[1].upper(), n): v for n, v in holder.items()}


def _member(holder: Object, name: str) -> Object:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def plain(value: Any) -> Any:
    """The JSON value that an OTLP AnyValue stands for; bytes stay base64. None for an empty one.

    Raises RecursionError where values are nested too deeply.
    """
    if not isinstance(value, dict):
        return None
    for kind, inner in value.items():
        if kind in ("intValue", "int_value"):
            number = as_int(inner)
            return inner if number is None else number
        if kind in ("arrayValue", "array_value"):
            inner = inner.get("values") if isinstance(inner, dict) else None
            return [plain(one) for one in inner] if isinstance(inner, list) else []
        if kind in ("kvlistValue", "kvlist_value"):
            return _pairs(inner.get("values") if isinstance(inner, dict) else None)
        return inner
    return None


def _pairs(attributes: Any) -> Object:
    """The object that a list of OTLP KeyValues stands for."""
    if not isinstance(attributes, list):
        return {}
    return {
        as_text(one.get("key")) or "": plain(one.get("value"))
        for one in attributes
        if isinstance(one, dict)
    }


def _line(body: Any) -> str | None:
    """The line that a body is; an object or a list as its JSON text."""
    return as_text(body) or None


def _severity(number: int, level: str | None) -> int | None:
    if 1 <= number <= 24:
        return _SEVERITIES[(number - 1) // 4]
    return severity_of(level) if level else None


def _trace(value: Any) -> str | None:
    """The trace id in lower case; null for none, which may be written as zeros."""
    return value.lower() if isinstance(value, str) and value.strip("0") else None


SOURCE = OTLP()
