"""What a JSON envelope says about the line in it, row by row, and the columns that this becomes.

CloudEvents, Splunk and Elasticsearch know much the same about a line under different names: when,
from which host, of which trace, how severe. Their parsers put it into `Wrapped` under our names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl

from muniment.event import ocsf, ocsf_columns
from muniment.event.columns import Leftover, column
from muniment.event.envelope import Opened
from muniment.event.instants import instants
from muniment.event.objects import Object, as_int, as_text, decode_object, text_column
from muniment.event.schema import SCHEMA
from muniment.event.source import Context
from muniment.json_cut import readable

_RESOURCES = SCHEMA.field("resources").type
_PLACES: Mapping[str, Mapping[str, str]] = {
    "metadata": {
        "uid": "uid",
        "trace": "correlation_uid",
        "log_name": "log_name",
        "code": "event_code",
    },
    "device": {"host": "hostname"},
    "service": {"service": "name"},
}


class Wrapped:
    """Rows of what envelopes say, one after another, to be made into columns at the end."""

    def __init__(self) -> None:
        self._bodies: list[str | None] = []
        self._hints: list[str | None] = []
        self._known: list[Object] = []

    def add(
        self,
        body: str | None,
        known: Object,
        *,
        hint: str | None = None,
        left: Object | None = None,
        fault: str | None = None,
    ) -> None:
        """Adds a row.

        `known` has any of uid, trace, log_name, code, host, service, message, resource (its name),
        severity (a word), time (as JSON has times); a time that is none goes with `left`, which is
        what has no column. `fault` is why the envelope could not be read.
        """
        self._bodies.append(body)
        self._hints.append(hint)
        self._known.append({**known, "left": left, "fault": fault})

    def opened(self) -> Opened:
        """All rows as columns."""
        columns = {"time_dt": self._times(), "parse_error": self._text("fault")}
        for name, members in _PLACES.items():
            given = {inner: self._text(key) for key, inner in members.items() if self._has(key)}
            if given:
                columns[name] = pl.DataFrame(given).to_struct()
        if self._has("message"):
            columns["message"] = self._text("message")
        if self._has("severity"):
            words = self._text("severity").str.to_lowercase().to_frame("word")
            found = ocsf_columns.lookup("word", ocsf.SEVERITY_WORDS, None)
            columns["severity_id"] = words.select(found).to_series()
        if self._has("resource"):
            columns["resources"] = self._resources()
        columns["unmapped"] = self._left()
        hint = pl.Series(self._hints, dtype=pl.String) if any(self._hints) else None
        return Opened(pl.Series(self._bodies, dtype=pl.String), pl.DataFrame(columns), hint)

    def _has(self, key: str) -> bool:
        return any(known.get(key) is not None for known in self._known)

    def _text(self, key: str) -> pl.Series:
        return text_column([known.get(key) for known in self._known])

    def _resources(self) -> pl.Series:
        names = self._text("resource").to_list()
        listed = [None if name is None else [{"name": name}] for name in names]
        return column(listed, _RESOURCES, ("resources",), Leftover(len(names)))

    def _times(self) -> pl.Series:
        given = [known.get("time") for known in self._known]
        made = instants(given)
        for row in made.is_null().arg_true().to_list():
            if given[row] is not None:
                left = self._known[row]["left"] or {}
                self._known[row]["left"] = {**left, "time": given[row]}
        return made

    def _left(self) -> pl.Series:
        made = [
            orjson.dumps(known["left"]).decode() if known["left"] else None for known in self._known
        ]
        return pl.Series(made, dtype=pl.String)


def abouts(context: Context, height: int) -> list[Object]:
    """What the sender said of each line beside its bytes, empty where nothing."""
    if context.about is None:
        return [{}] * height
    known = {about: orjson.loads(about) for about in context.about.unique().drop_nulls()}
    return [{} if about is None else known[about] for about in context.about.to_list()]


def unwrap(line: str) -> tuple[Object, str | None]:
    """The object of an envelope, as far as it can be read, and what is wrong with its text."""
    value = decode_object(line)
    if isinstance(value, str):
        return readable(line.encode()), value
    return value, None


def is_event(value: Any) -> bool:
    """Whether it is an object of OCSF or of the native form, which need no other parser."""
    if not isinstance(value, dict):
        return False
    return as_int(value.get("class_uid")) is not None or isinstance(value.get("action"), str)


def line_of(value: Any) -> str | None:
    """The line that a JSON value is to a parser: text as it is, an object as JSON; else None."""
    if isinstance(value, dict):
        return as_text(value)
    return value if isinstance(value, str) else None
