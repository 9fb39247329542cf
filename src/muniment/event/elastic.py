"""Items of an Elasticsearch `_bulk` request: an action line, and the document below it.

The document is the envelope where it holds a line that some program wrote, under `event.original`,
`message`, `log`, `body.text` or `Body`, as Beats, Logstash, Fluent Bit and the OpenTelemetry
Collector send it. What the Elastic Common Schema says
of time, host, service, trace and level then fills what the line does not tell; the module, data
set or service that wrote it names the parser where it is the name of a source. A document of OCSF
or of the native form, and one without such a line, is read as the source `json` reads it. A
document that was posted alone has its action in the receipt header (`about`).

`metadata.uid` is `index/id` where the sender gives documents ids of their own.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from muniment.event.envelope import Envelope, Opened
from muniment.event.objects import Object, as_text
from muniment.event.source import Context
from muniment.event.wrapped import Wrapped, abouts, is_event, unwrap

_ACTIONS = ("index", "create", "update", "delete")
_LINES = ("event.original", "message", "log", "body.text", "Body")
_HINTS = (
    *("event.module", "event.dataset", "data_stream.dataset", "service.type", "service.name"),
    *("kubernetes.container.name", "kubernetes.container_name", "container.name"),
)
_KNOWN = {
    "time": ("@timestamp",),
    "host": ("host.hostname", "host.name", "host", "kubernetes.host"),
    "service": ("service.name",),
    "trace": ("trace.id", "trace_id"),
    "severity": ("log.level", "level", "severity"),
}


class Elastic(Envelope):
    """The source `elastic`."""

    reads_about = True
    reads_parts = True

    def open(self, lines: pl.Series, context: Context) -> Opened:
        rows = Wrapped()
        for text, about in zip(lines.to_list(), abouts(context, len(lines)), strict=True):
            if "action" in about:
                target = {"_index": about.get("index"), "_id": about.get("id")}
                _add(rows, about["action"], {about["action"]: target}, text)
                continue
            head, _, source = text.partition("\n")
            action, fault = unwrap(head)
            name = next((each for each in _ACTIONS if isinstance(action.get(each), dict)), None)
            if name is None:
                rows.add(
                    None, {}, fault=fault or "no action: neither index, create, update, delete"
                )
                continue
            if "index" in about:
                action[name].setdefault("_index", about["index"])
            if name == "delete":
                known = _target(name, action)
                what = f"delete {known['uid'] or ''}".rstrip()
                rows.add(None, {**known, "message": what}, left=action)
            else:
                _add(rows, name, action, source)
        return rows.opened()


def _target(name: str, action: Object) -> Object:
    """What the action line says: where the document goes, and under which id."""
    index, key = action[name].get("_index"), action[name].get("_id")
    uid = None if key is None else f"{as_text(index) or ''}/{as_text(key)}"
    return {"code": name, "log_name": index, "uid": uid}


def _add(rows: Wrapped, name: str, action: Object, source: str) -> None:
    known = _target(name, action)
    document, fault = unwrap(source)
    if name == "update" and isinstance(document.get("doc"), dict):
        document = document["doc"]
        source = as_text(document) or ""
    used = {key: path for key, paths in _KNOWN.items() if (path := _first(document, paths))}
    known |= {key: _dig(document, path) for key, path in used.items()}
    place = None if is_event(document) else _first(document, _LINES)
    if place is None:
        rows.add(None if fault else source.strip(), known, left=action, fault=fault)
        return
    line, hint = _dig(document, place), _hint(document)
    for path in {place, *used.values()}:
        document = _without(document, path)
    rows.add(line, known, hint=hint, left={"action": action, "document": document}, fault=fault)


def _hint(document: Object) -> str | None:
    path = _first(document, _HINTS)
    return None if path is None else str(_dig(document, path)).partition(".")[0]


def _first(document: Object, paths: tuple[str, ...]) -> str | None:
    """The first of the paths under which there is text."""
    return next((path for path in paths if isinstance(_dig(document, path), str)), None)


def _dig(document: Any, path: str) -> Any:
    """The value under a path, whose names may be joined by dots or stand inside one another."""
    if path in document:
        return document[path]
    name, _, rest = path.partition(".")
    inner = document.get(name)
    return _dig(inner, rest) if rest and isinstance(inner, dict) else None


def _without(document: Object, path: str) -> Object:
    """A document without one value, and without the objects that it leaves empty."""
    if path in document:
        return {name: value for name, value in document.items() if name != path}
    name, _, rest = path.partition(".")
    inner = _without(document[name], rest)
    return {**document, name: inner} if inner else _without(document, name)


SOURCE = Elastic()
