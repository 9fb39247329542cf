"""A source made of a definition: patterns or JSON members, and where each goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from muniment.event import container, ocsf, ocsf_columns
from muniment.event.columns import polars_type
from muniment.event.nulls import nulls
from muniment.event.objects import Object, as_text, decode_object
from muniment.event.own.convert import convert
from muniment.event.own.definition import CLASSES, WHOLE, Definition, Target, groups_of
from muniment.event.schema import SCHEMA
from muniment.event.source import Context, merge
from muniment.event.syslog_header import put_back, strip
from muniment.event.unmapped import json_object, merged

_LOG_NAMES = {"http": "access", "network": "access", "api": "audit"}


class Defined:
    """The source that a TOML file describes."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._groups = [groups_of(pattern.regex) for pattern in definition.pattern]

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        """See Source."""
        match self._definition.envelope:
            case "syslog":
                header = strip(lines, context)
                return put_back(self._read(header["body"], context), header, context.zone)
            case "container":
                bodies, stamp = container.unwrap(lines)
                return container.with_time(self._read(bodies, context), stamp)
        return self._read(lines, context)

    def _read(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        if self._definition.kind == "json":
            return self._objects(lines, context)
        left = pl.int_range(len(lines), dtype=pl.UInt32, eager=True)
        parts = []
        for number, pattern in enumerate(self._definition.pattern):
            texts = lines.gather(left)
            fits = texts.str.contains(pattern.regex)
            if not fits.any():
                continue
            rows = left.filter(fits)
            whole = texts.filter(fits)
            found = whole.str.extract_groups(pattern.regex).struct.unnest()
            groups = {name: found[name] for name in self._groups[number]} | {WHOLE: whole}
            kind = pattern.class_ or self._definition.class_
            parts.append((rows, self._events(groups, kind, context, None, len(rows))))
            left = left.filter(~fits)
        count = len(self._definition.pattern)
        why = "the pattern does not fit" if count == 1 else f"none of the {count} patterns fits"
        if len(left):
            error = pl.repeat(f"{why} the line", len(left), dtype=pl.String, eager=True)
            parts.append((left, pl.DataFrame({"parse_error": error})))
        return merge(parts, len(lines))

    def _objects(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        good: list[Object] = []
        rows: list[int] = []
        bad: dict[int, str] = {}
        for row, line in enumerate(lines.to_list()):
            value = decode_object(line)
            if isinstance(value, str):
                bad[row] = value
            else:
                good.append(value)
                rows.append(row)
        parts = []
        if good:
            whole = lines.gather(rows)
            groups = {name: _member(good, name) for name in self._definition.fields}
            groups[WHOLE] = whole
            rest = self._rest(good)
            made = self._events(groups, self._definition.class_, context, rest, len(good))
            parts.append((pl.Series(rows, dtype=pl.UInt32), made))
        if bad:
            error = pl.Series(list(bad.values()), dtype=pl.String)
            rows_bad = pl.Series(list(bad), dtype=pl.UInt32)
            parts.append((rows_bad, pl.DataFrame({"parse_error": error})))
        return merge(parts, len(lines))

    def _rest(self, objects: list[Object]) -> pl.Series:
        """The members that no field takes; of one that is taken in part, the whole."""
        taken = set(self._definition.fields)
        texts = []
        for one in objects:
            left = {k: v for k, v in one.items() if k not in taken and v is not None}
            texts.append(orjson.dumps(left).decode() if left else None)
        return pl.Series(texts, dtype=pl.String)

    def _events(
        self,
        groups: Mapping[str, pl.Series],
        kind: str,
        context: Context,
        rest: pl.Series | None,
        height: int,
    ) -> pl.DataFrame:
        """Events of the texts of each group; `rest` is what `unmapped` has beside what is left."""
        filled = _Filled(height, self._definition.zone or context.zone)
        empty = dict.fromkeys(self._definition.empty)
        for name, text in groups.items():
            given = text if name == WHOLE or not empty else text.replace(empty)
            targets = self._definition.fields.get(name, [])
            if not targets and name != WHOLE:
                filled.left[name] = given
            for target in targets:
                filled.add(name, given, target)
        columns = filled.columns
        for path, value in self._definition.constants.items():
            columns[path] = pl.repeat(value, height, eager=True)
        self._defaults(columns, kind, height)
        unmapped = filled.unmapped()
        return _nested(columns, height).with_columns(
            pl.lit(CLASSES[kind], pl.Int32).alias("class_uid"),
            (unmapped if rest is None else merged(unmapped, rest)).alias("unmapped"),
            filled.faults.alias("parse_error"),
        )

    def _defaults(self, columns: dict[str, pl.Series], kind: str, height: int) -> None:
        """What the class says of its own accord, where no field says it."""
        none = nulls(height, pl.Int32)
        code = columns.get("http_response.code", none).cast(pl.Int32, strict=False)
        frame = pl.DataFrame(
            {
                "status": code.cast(pl.String),
                "code": code,
                "method": columns.get("http_request.http_method", nulls(height, pl.String)),
            }
        )
        derived = frame.select(
            ocsf_columns.http_status_id("status", "code").alias("status_id"),
            pl.col("status").alias("status_code"),
            _activity(kind).alias("activity_id"),
        )
        if kind == "http":
            severity = frame.select(ocsf_columns.http_severity_id("code")).to_series()
            columns.setdefault("severity_id", severity)
        for column in derived.get_columns():
            columns.setdefault(column.name, column)
        product = self._definition.product or self._definition.name
        constants = {
            "metadata.version": ocsf.VERSION,
            "metadata.product.name": product,
            "metadata.log_name": self._definition.log_name or _LOG_NAMES.get(kind),
        }
        for path, value in constants.items():
            columns.setdefault(path, pl.repeat(value, height, dtype=pl.String, eager=True))


class _Filled:
    """The columns that fields have filled so far, by path, and what they could not."""

    def __init__(self, height: int, zone: str) -> None:
        self.columns: dict[str, pl.Series] = {}
        self.left: dict[str, pl.Series] = {}
        self.faults = nulls(height, pl.String)
        self._zone = zone

    def add(self, name: str, given: pl.Series, target: Target) -> None:
        """Fills what a target says; a text that is no such value is kept, and is a fault."""
        made = convert(given, target, self._zone)
        for path, column in made.items():
            there = self.columns.get(path)
            self.columns[path] = column if there is None else there.fill_null(column)
        lost = given.is_not_null() & _all_null(list(made.values()))
        if not lost.any():
            return
        why = f"{name} is no {target.kind}" if target.map is None else f"{name} is not in its map"
        self.faults = self.faults.fill_null(pl.select(pl.when(lost).then(pl.lit(why))).to_series())
        if name != WHOLE:
            self.left[name] = pl.select(pl.when(lost).then(given)).to_series()

    def unmapped(self) -> pl.Series:
        """JSON text of what has no column."""
        if not self.left:
            return nulls(len(self.faults), pl.String)
        frame = pl.DataFrame([column.alias(name) for name, column in self.left.items()])
        return frame.select(json_object({name: pl.col(name) for name in self.left})).to_series()


_API = {"POST": 1, "GET": 2, "HEAD": 2, "PUT": 3, "PATCH": 3, "DELETE": 4}


def _activity(kind: str) -> pl.Expr:
    if kind == "http":
        return ocsf_columns.method_activity("method")
    if kind == "api":
        return ocsf_columns.lookup("method", _API, ocsf.OTHER).fill_null(ocsf.OTHER)
    if kind == "network":
        return pl.lit(ocsf.TRAFFIC, pl.Int32)
    return pl.lit(0 if kind == "base" else ocsf.OTHER, pl.Int32)


def _all_null(columns: list[pl.Series]) -> pl.Series:
    gone = columns[0].is_null()
    for column in columns[1:]:
        gone &= column.is_null()
    return gone


def _member(objects: list[Object], path: str) -> pl.Series:
    """A member as text: under its whole name, or by the names between the dots."""
    values: list[str | None] = []
    for one in objects:
        value: Any = one.get(path)
        if value is None and "." in path:
            value = one
            for name in path.split("."):
                value = value.get(name) if isinstance(value, dict) else None
        values.append(as_text(value))
    return pl.Series(values, dtype=pl.String)


def _nested(columns: Mapping[str, pl.Series], height: int) -> pl.DataFrame:
    """Columns by path as the structs of the schema."""
    tree: dict[str, Any] = {}
    for path, column in columns.items():
        at = tree
        *above, last = path.split(".")
        for name in above:
            at = at.setdefault(name, {})
        at[last] = column
    made = [_built(name, value, SCHEMA.field(name).type) for name, value in tree.items()]
    return pl.DataFrame(made) if made else pl.DataFrame({"message": nulls(height, pl.String)})


def _built(name: str, value: Any, kind: pa.DataType) -> pl.Series:
    if isinstance(value, pl.Series):
        return value.cast(polars_type(kind), strict=False).alias(name)
    if pa.types.is_list(kind):
        # A list of objects gets the one that the fields make.
        inner = kind.value_type
        one = _struct(name, value, inner)
        frame = one.to_frame(name)
        there = pl.any_horizontal(
            pl.col(name).struct.field(field).is_not_null() for field in one.struct.fields
        )
        return frame.select(pl.when(there).then(pl.concat_list(name)).alias(name)).to_series()
    return _struct(name, value, kind)


def _struct(name: str, members: Mapping[str, Any], kind: pa.StructType) -> pl.Series:
    parts = [_built(key, value, kind.field(key).type) for key, value in members.items()]
    return pl.DataFrame(parts).to_struct(name)
