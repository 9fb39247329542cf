"""Records of log shippers: objects in which one member is the line that a program wrote.

Fluentd and Fluent Bit, the Beats and others put the line and what they know of it into one object.
Such an object is an envelope of its own (the source `record`), and often stands in another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import polars as pl

from muniment.event import ocsf
from muniment.event.envelope import Envelope, Opened
from muniment.event.objects import Object, as_int, decode_object
from muniment.event.source import Context
from muniment.event.unpacking import Unpacked, first_hint, first_text, severity_of
from muniment.event.wrapped import is_event

_LINES = ("log", "message", "MESSAGE", "msg")
_WHO = (
    "ident",
    "SYSLOG_IDENTIFIER",
    "app",
    "appname",
    "container_name",
    "CONTAINER_NAME",
    "program",
)
_WHERE = ("hostname", "_HOSTNAME", "host")
_LEVEL = ("level", "severity", "log_level", "loglevel", "lvl")
_TRACE = ("trace_id", "traceId", "traceID")


class Record(Envelope):
    """The source `record`."""

    def open(self, lines: pl.Series, context: Context) -> Opened:  # noqa: ARG002
        rows = Unpacked()
        for line in lines.to_list():
            record = decode_object(line)
            if isinstance(record, str):
                rows.add(error=record)
            else:
                add_record(rows, record, rest={}, time=None)
        return rows.opened()


def add_record(
    rows: Unpacked,
    record: Object,
    *,
    rest: Object,
    time: int | None,
    hints: Iterable[Any] = (),
) -> None:
    """Adds the line in a record, and what is beside it; a record without a line as a whole.

    `rest` is what stands around the record, `time` its time in microseconds since the epoch;
    `hints` may name the source of the line. An event in OCSF or in the native form is a whole, too.
    """
    key = None if is_event(record) else _line_key(record)
    if key is None:
        rows.add(orjson.dumps(record).decode(), time=time, rest=rest)
        return
    line: str = record[key]
    kubernetes = _member(record, "kubernetes")
    labels = _member(kubernetes, "labels")
    level = first_text(record, *_LEVEL)
    who = (*(record.get(name) for name in _WHO), kubernetes.get("container_name"))
    app = (labels.get("app.kubernetes.io/name"), labels.get("app"))
    left = {name: member for name, member in record.items() if name != key}
    rows.add(
        line.removesuffix("\n") or None,
        hint=first_hint(*who, *app, *hints),
        time=time,
        severity=_severity(level, record),
        hostname=first_text(record, *_WHERE) or first_text(kubernetes, "host"),
        trace=first_text(record, *_TRACE),
        level=level,
        product=next((name for name in (*who, *app) if isinstance(name, str) and name), None),
        rest={**rest, "record": left} if left else rest,
    )


def _severity(level: str | None, record: Object) -> int | None:
    """That of the level in words, else of journald's number."""
    if level:
        return severity_of(level)
    priority = as_int(record.get("PRIORITY"))
    return None if priority is None else ocsf.SYSLOG_SEVERITY.get(priority)


def _line_key(record: Object) -> str | None:
    return next((key for key in _LINES if isinstance(record.get(key), str)), None)


def _member(holder: Object, name: str) -> Object:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


SOURCE = Record()
