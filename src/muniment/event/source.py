"""The hook for sources of logs: what a parser is, how it is found, how it is kept from harm.

A source is an object with a method `parse`; a distribution offers it under the entry point group
`muniment.sources`, and the name of the entry point is the `as` of the entries that it reads. The
sources that come with Muniment use the same hook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

import polars as pl

from muniment.event.schema import SCHEMA
from muniment.event.table import check_type

GROUP = "muniment.sources"
_BUILT_IN = {
    "haproxy": "muniment.event.haproxy:SOURCE",
    "nginx": "muniment.event.nginx:SOURCE",
    "ingress-nginx": "muniment.event.nginx:SOURCE",
    "syslog": "muniment.event.syslog:SOURCE",
    "json": "muniment.event.structured:SOURCE",
    "muniment": "muniment.event.structured:SOURCE",
    "text": "muniment.event.text:SOURCE",
}


@dataclass(frozen=True, slots=True)
class Context:
    """What a parser may know beside the lines.

    `received` holds the receipt times (timestamp us, UTC; null where unknown), one a line.
    `zone` is the IANA time zone of stamps that name none.
    """

    received: pl.Series
    zone: str = "UTC"

    def at(self, rows: pl.Series) -> Context:
        """The context of a selection of the lines."""
        return replace(self, received=self.received[rows])


class Source(Protocol):
    """A parser of one kind of log.

    `parse` takes a String series without nulls and answers a frame of the same height and order
    with those columns of `SCHEMA` that it can fill; structs may leave out fields. It sets
    `time_dt` (UTC; null means: use the receipt time) rather than `time`, `class_uid` (null or
    absent means 0), `activity_id`, and `parse_error` for a line that it cannot read. Such a line
    keeps `class_uid` null; one read in part has both a class and a parse_error. The frame-work
    fills all the rest. A parser works on the whole column (expressions, not a loop over lines),
    does no I/O, and never guesses: a missing field is better than a wrong one.
    """

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame: ...


@cache
def sources() -> Mapping[str, EntryPoint]:
    """The known sources by name; nothing is imported before `find` asks for it."""
    found = {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}
    found.update({point.name: point for point in entry_points(group=GROUP)})
    return found


@cache
def _load(point: EntryPoint) -> Source:
    module, _, attribute = point.value.partition(":")
    source: Source = getattr(import_module(module), attribute)
    return source


def find(name: str) -> Source | None:
    """The source of that name, or None; an import error of an outside source is raised."""
    point = sources().get(name)
    return None if point is None else _load(point)


_MAX_TRIES = 64
_FRAME_COLUMNS = frozenset(SCHEMA.names) - {"log", "shard", "index", "raw_data", "time"}


def run(name: str, lines: pl.Series, context: Context) -> pl.DataFrame:
    """Parses with the source `name`; never raises for what the lines hold.

    Rows that make the parser raise are found by halving, so that one hostile line does not cost
    the others their fields; they carry the exception in `parse_error`.
    """
    try:
        source = find(name)
    except Exception as error:
        return failed(lines, f"the source {name!r} cannot be loaded: {_say(error)}")
    if source is None:
        return failed(lines, f"unknown source {name!r}")
    return _Guard(name, source).run(lines, context)


class _Guard:
    def __init__(self, name: str, source: Source) -> None:
        self._name = name
        self._source = source
        self._tries = _MAX_TRIES

    def run(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        self._tries -= 1
        try:
            return _checked(self._source.parse(lines, context), len(lines))
        # A panic inside Polars is a BaseException, and is as much the parser's fault as any other.
        except (Exception, pl.exceptions.PanicException) as error:
            if len(lines) == 1 or self._tries <= 0:
                return failed(lines, f"the {self._name} parser failed: {_say(error)}")
        half = len(lines) // 2
        first = self.run(lines[:half], replace(context, received=context.received[:half]))
        second = self.run(lines[half:], replace(context, received=context.received[half:]))
        return pl.concat([first, second], how="diagonal_relaxed")


def _checked(frame: pl.DataFrame, height: int) -> pl.DataFrame:
    if frame.height != height:
        raise ValueError(f"{frame.height} rows came back for {height} lines")
    unknown = set(frame.columns) - _FRAME_COLUMNS
    if unknown:
        raise ValueError(f"columns that the schema does not have: {sorted(unknown)}")
    for name, dtype in frame.schema.items():
        check_type(name, dtype, SCHEMA.field(name).type)
    return frame


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def failed(lines: pl.Series, why: str) -> pl.DataFrame:
    """Rows kept with no more than the reason why they could not be read."""
    return pl.DataFrame({"parse_error": pl.repeat(why, len(lines), dtype=pl.String, eager=True)})


def merge(parts: list[tuple[pl.Series, pl.DataFrame]], height: int) -> pl.DataFrame:
    """Puts frames that were parsed apart back into one, each row at its place.

    A part is the row numbers (UInt32) and the frame of those rows. Rows in no part are null.
    """
    placed = [frame.with_columns(rows.alias("_row")) for rows, frame in parts if len(rows)]
    if not placed:
        return pl.DataFrame({"parse_error": pl.Series([None] * height, dtype=pl.String)})
    whole = placed[0] if len(placed) == 1 else pl.concat(placed, how="diagonal_relaxed")
    if whole.height < height:
        every = pl.DataFrame({"_row": pl.int_range(height, dtype=pl.UInt32, eager=True)})
        whole = every.join(whole, on="_row", how="left")
    return whole.sort("_row").drop("_row")


Fits = Callable[[pl.Series], pl.Series]
Parse = Callable[[pl.Series, Context], pl.DataFrame]


def parse_first(
    formats: Sequence[tuple[Fits, Parse]], lines: pl.Series, context: Context, unknown: str
) -> pl.DataFrame:
    """Parses each line with the first format that fits it.

    A format is a test of lines (a Boolean column) and the parser of those that pass. Lines that
    fit none are kept with `unknown` as their parse_error.
    """
    left = pl.int_range(len(lines), dtype=pl.UInt32, eager=True)
    parts: list[tuple[pl.Series, pl.DataFrame]] = []
    for fits, parse in formats:
        texts = lines if len(left) == len(lines) else lines.gather(left)
        mask = fits(texts)
        if mask.all():
            parts.append((left, parse(texts, context.at(left))))
            left = left.clear()
        elif mask.any():
            rows = left.filter(mask)
            parts.append((rows, parse(texts.filter(mask), context.at(rows))))
            left = left.filter(~mask)
        if not len(left):
            break
    if len(left):
        parts.append((left, failed(lines.gather(left), unknown)))
    return merge(parts, len(lines))
