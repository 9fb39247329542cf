"""CloudEvents 1.0 and 0.3: the attributes are the envelope, `data` is the line in it.

In structured and batched mode the entry is the event's JSON object; in binary mode it is the data
alone, and the attributes are in the receipt header (`about`). Data that is an object of the native
form, of OCSF or of anything else is read as the source `json` reads it; text goes to the parser
that it belongs to. Data that is neither stays in `raw_data`.

`source` and `id` together are `metadata.uid`, with a space between: a space stands in no URI
reference. They are also in `unmapped`, with all attributes that have no column.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import polars as pl

from muniment.event.envelope import Envelope, Opened
from muniment.event.objects import Object
from muniment.event.source import Context
from muniment.event.wrapped import Wrapped, abouts, line_of, unwrap

_REQUIRED = ("specversion", "id", "source", "type")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TEXTUAL = re.compile(r"text/|.*(?:json|xml|yaml|form-urlencoded)", re.IGNORECASE)
_DATA = frozenset(("data", "data_base64", "datacontentencoding"))
_COLUMNS = frozenset(("type", "time", "subject", "severitytext"))


class CloudEvents(Envelope):
    """The source `cloudevents`."""

    reads_about = True
    reads_parts = True

    def open(self, lines: pl.Series, context: Context) -> Opened:
        rows = Wrapped()
        for line, about in zip(lines.to_list(), abouts(context, len(lines)), strict=True):
            if "specversion" in about:
                _add(rows, about, line if line and _is_text(about) else None, None)
            else:
                event, fault = unwrap(line)
                _add(rows, event, None if fault else _data(event), fault)
        return rows.opened()


def _add(rows: Wrapped, event: Object, data: Any, fault: str | None) -> None:
    missing = [name for name in _REQUIRED if not isinstance(event.get(name), str)]
    if missing and fault is None:
        fault = f"no CloudEvent: it has no {', '.join(missing)}"
    if missing:
        rows.add(None, {}, fault=fault)
        return
    line = line_of(data)
    left = {k: v for k, v in event.items() if k not in _DATA and k not in _COLUMNS}
    if line is None and data is not None:
        left["data"] = data
    known = {
        "uid": f"{event['source']} {event['id']}",
        "code": event["type"],
        "log_name": event["source"],
        "message": event["type"],
        "time": event.get("time"),
        "resource": event.get("subject"),
        "severity": event.get("severitytext"),
        "trace": _trace(event.get("traceparent")),
    }
    rows.add(line, known, left=left, fault=fault)


def _data(event: Object) -> Any:
    """The data of a structured event; base64 is undone where text is inside."""
    encoded = event.get("data_base64")
    if encoded is None and event.get("datacontentencoding") == "base64":
        encoded = event.get("data")
    if encoded is None:
        return event.get("data")
    if not isinstance(encoded, str) or not _is_text(event):
        return None
    try:
        return b64decode(encoded, validate=True).decode()
    except ValueError:
        return None


def _is_text(event: Object) -> bool:
    """Whether the media type is one of text; data without a type is taken for JSON."""
    kind = event.get("datacontenttype")
    return not isinstance(kind, str) or _TEXTUAL.match(kind) is not None


def _trace(parent: Any) -> str | None:
    """The trace id of a `traceparent` (W3C Trace Context)."""
    found = _TRACE.fullmatch(parent) if isinstance(parent, str) else None
    return found[1] if found else None


SOURCE = CloudEvents()
