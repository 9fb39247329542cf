"""Events of Splunk's HTTP event collector: the object is the envelope, `event` the line in it.

`event` is text, which goes to the parser that it belongs to (`sourcetype` names it where it is the
name of a source, up to the first colon: `haproxy:http`), or an object, which is read as the source
`json` reads it. Docker's logging driver puts the line of a container one level deeper. What the
query string said of all events of a request counts for those that do not say it themselves.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from muniment.event.envelope import Envelope, Opened
from muniment.event.objects import Object
from muniment.event.source import Context
from muniment.event.wrapped import Wrapped, abouts, is_event, line_of, unwrap

_TRACES = ("trace_id", "traceId", "traceid", "trace.id")
_SEVERITIES = ("severity", "level", "log_level", "otel.log.severity.text")
_TAKEN = frozenset(("event", "time", "host", "source"))
_STREAMS = ("stdout", "stderr")


class Splunk(Envelope):
    """The source `splunk`."""

    reads_about = True
    reads_parts = True

    def open(self, lines: pl.Series, context: Context) -> Opened:
        rows = Wrapped()
        for line, about in zip(lines.to_list(), abouts(context, len(lines)), strict=True):
            envelope, fault = unwrap(line)
            if fault is None and envelope.get("event") is None:
                fault = "no event of Splunk: it has no event"
            _add(rows, {**about, **envelope}, fault)
        return rows.opened()


def _add(rows: Wrapped, envelope: Object, fault: str | None) -> None:
    left = {k: v for k, v in envelope.items() if k not in _TAKEN and v is not None}
    event, hint = envelope.get("event"), envelope.get("sourcetype")
    if isinstance(event, dict) and "line" in event and event.get("source") in _STREAMS:
        left["event"] = {k: v for k, v in event.items() if k != "line"}
        event, hint = event["line"], event.get("tag")
    line = line_of(event)
    if line is None and event is not None:
        left["event"] = event
    fields = envelope.get("fields")
    known = {
        "time": envelope.get("time"),
        "host": envelope.get("host"),
        "log_name": envelope.get("source"),
        "trace": _first(fields, _TRACES),
        "severity": _first(fields, _SEVERITIES),
    }
    hint = hint.partition(":")[0] if isinstance(hint, str) and not is_event(event) else None
    rows.add(line, known, hint=hint, left=left, fault=fault)


def _first(fields: Any, names: tuple[str, ...]) -> str | None:
    if not isinstance(fields, dict):
        return None
    return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)


SOURCE = Splunk()
