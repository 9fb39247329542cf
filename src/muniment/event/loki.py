"""Loki push requests of one stream and one entry, in JSON or Protobuf.

A stream's labels say where a line is from, its structured metadata what a shipper found in it. Both
are texts by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
import polars as pl

from muniment.event.envelope import Envelope, Opened
from muniment.event.instants import instants
from muniment.event.objects import Object, as_int, as_text, decode_object
from muniment.event.source import Context
from muniment.event.unpacking import Unpacked, first_hint, first_text, object_of, severity_of

_UNREADABLE = "neither JSON nor Protobuf of a Loki push request with an entry"
_WHO = ("app", "app_kubernetes_io_name", "service_name", "container", "syslog_app_name", "appname")
_WHERE = ("host", "hostname", "node_name", "node", "instance")
_LEVEL = ("level", "detected_level", "severity", "severity_text")
_COLLECTED = frozenset(
    [
        "body",
        "traceid",
        "spanid",
        "severity",
        "flags",
        "attributes",
        "resources",
        "instrumentation_scope",
    ]
)
_TRACE = ("trace_id", "traceID", "traceId", "traceid")

# A label and its value, which is a string of Go.
_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*("(?:[^"\\]|\\.)*")\s*(,|$)', re.DOTALL)
_GO_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_GO_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Loki(Envelope):
    """The source `loki`."""

    def render(self, raws: Sequence[bytes]) -> list[str | None]:
        """Loki's JSON of requests in Protobuf; None for what is JSON or cannot be read."""
        value = _renderer().value
        return [None if (one := value(raw)) is None else _as_pushed(one) for raw in raws]

    def open(self, lines: pl.Series, context: Context) -> Opened:  # noqa: ARG002
        rows = Unpacked()
        for line in lines.to_list():
            _add(rows, object_of(line))
        return rows.opened()


def _add(rows: Unpacked, request: Object | str) -> None:
    stream = None if isinstance(request, str) else _first(request.get("streams"))
    if isinstance(stream, dict) and "entries" in stream:
        stream = _as_new(stream)
    values = stream.get("values") if isinstance(stream, dict) else None
    value = _first(values)
    if not isinstance(stream, dict) or not isinstance(value, list) or len(value) < 2:
        rows.add(error=_UNREADABLE)
        return
    labels = stream.get("stream")
    metadata = value[2] if len(value) > 2 else None
    everything: Object = {}
    for one in (labels, metadata):
        if isinstance(one, dict):
            everything |= one
    line = as_text(value[1]) or None
    rest = {"labels": labels, "metadata": metadata}
    collected = _collected(line)
    if collected is not None:
        line = collected.pop("body")
        rest["record"] = collected
        everything = collected | everything
    others = len(values or ()) + len(request["streams"]) - 2 if isinstance(request, dict) else 0
    level = first_text(everything, *_LEVEL)
    rows.add(
        line,
        hint=first_hint(*(everything.get(name) for name in _WHO), _job(everything)),
        time=_time(value[0]),
        severity=severity_of(level) if level else None,
        hostname=first_text(everything, *_WHERE),
        trace=first_text(everything, *_TRACE),
        level=level,
        product=first_text(everything, *_WHO),
        rest={name: member for name, member in rest.items() if member},
        error="only the first of several entries was read" if others else None,
    )


def _collected(line: str | None) -> Object | None:
    """The object that the OpenTelemetry collector's Loki exporter makes of a log record."""
    if line is None or not line.startswith('{"body":"'):
        return None
    record = decode_object(line)
    if isinstance(record, str) or not _COLLECTED.issuperset(record):
        return None
    return record if isinstance(record.get("body"), str) else None


def _as_new(stream: Object) -> Object:
    """A stream in the form of /api/prom/push, which Loki had before, in the one that it has now."""
    entries = stream["entries"] if isinstance(stream["entries"], list) else []
    values = [[one.get("ts"), one.get("line")] for one in entries if isinstance(one, dict)]
    labels = stream.get("labels")
    return {"stream": labels_of(labels) if isinstance(labels, str) else labels, "values": values}


def _time(stamp: Any) -> int | None:
    """Microseconds since the epoch; stamps are nanoseconds, of old RFC 3339."""
    nanos = as_int(stamp)
    if nanos is not None:
        return nanos // 1000
    known = instants([stamp])[0] if isinstance(stamp, str) else None
    return None if known is None else round(known.timestamp() * 1_000_000)


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else None


def _job(labels: Object) -> str | None:
    """`job` is often `namespace/app`."""
    job = labels.get("job")
    return job.rpartition("/")[2] if isinstance(job, str) else None


@cache
def _renderer() -> Any:
    from google.protobuf import timestamp_pb2
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from muniment.event.protobuf import described
    from muniment.event.rendering import Renderer

    timestamps = FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamps)
    messages = {
        "PushRequest": "1 streams *Stream",
        "Stream": "1 labels string, 2 entries *Entry, 3 hash uint64",
        "Entry": "1 timestamp Timestamp, 2 line string, 3 metadata *Label, 4 parsed *Label",
        "Label": "1 name string, 2 value string",
    }
    files = described("logproto", messages, imports=[timestamps])
    return Renderer(files, "logproto.PushRequest", nanoseconds=True)


def _as_pushed(request: Object) -> str:
    """The JSON form of a push out of the fields of the Protobuf message."""
    streams = []
    for stream in request.get("streams", ()):
        values: list[list[Any]] = []
        for entry in stream.get("entries", ()):
            value = [str(entry.get("timestamp", 0)), entry.get("line", "")]
            metadata = _pairs(entry.get("metadata", ())) | _pairs(entry.get("parsed", ()))
            values.append([*value, metadata] if metadata else value)
        streams.append({"stream": labels_of(stream.get("labels", "{}")), "values": values})
    return orjson.dumps({"streams": streams}).decode()


def _pairs(labels: Sequence[Object]) -> dict[str, str]:
    return {one.get("name", ""): one.get("value", "") for one in labels}


def labels_of(text: str) -> dict[str, str] | str:
    """The labels of a stream as Prometheus writes them, `{a="b", c="d"}`; other text as it is."""
    inside = text.strip()
    if not (inside.startswith("{") and inside.endswith("}")):
        return text
    inside = inside[1:-1].strip()
    found: dict[str, str] = {}
    at = 0
    while at < len(inside):
        match = _LABEL.match(inside, at)
        if match is None:
            return text
        found[match[1]] = _unquoted(match[2])
        at = match.end()
    return found


def _unquoted(text: str) -> str:
    """What a string of Go says; bytes that are not UTF-8 stay as they are written."""
    if "\\" not in text:
        return text[1:-1]
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _GO_ESCAPE.sub(_letter, text[1:-1])
    return str(value)


def _letter(match: re.Match[str]) -> str:
    if match[2] is not None:
        code = int(match[2], 16)
        return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else match[0]
    if match[4] is None:
        code = int(match[1], 16) if match[1] is not None else int(match[3], 8)
        return chr(code) if code < 0x80 else match[0]
    return _GO_LETTERS.get(match[4], match[4] if match[4] in "\\\"'" else match[0])


SOURCE = Loki()
