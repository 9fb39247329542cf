"""The hook for sources of logs: what a parser is, how it is found, what parsers share.

A source is an object with a method `parse`; a distribution offers it under the entry point group
`muniment.sources`, and the name of the entry point is the `as` of the entries that it reads. The
sources that come with Muniment use the same hook. `muniment.event.guard` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

import polars as pl

GROUP = "muniment.sources"
_BUILT_IN = {
    "haproxy": "muniment.event.haproxy:SOURCE",
    "nginx": "muniment.event.nginx:SOURCE",
    "ingress-nginx": "muniment.event.ingress_nginx:SOURCE",
    "traefik": "muniment.event.traefik:SOURCE",
    "caddy": "muniment.event.caddy:SOURCE",
    "kong": "muniment.event.kong:SOURCE",
    "dataplaneapi": "muniment.event.dataplane:SOURCE",
    "f5": "muniment.event.f5:SOURCE",
    "citrix": "muniment.event.citrix:SOURCE",
    "syslog": "muniment.event.syslog:SOURCE",
    "otlp": "muniment.event.otlp:SOURCE",
    "loki": "muniment.event.loki:SOURCE",
    "forward": "muniment.event.forward:SOURCE",
    "envoy": "muniment.event.envoy:SOURCE",
    "elastic": "muniment.event.elastic:SOURCE",
    "splunk": "muniment.event.splunk:SOURCE",
    "kubernetes": "muniment.event.kubernetes:SOURCE",
    "aws-elb": "muniment.event.aws:SOURCE",
    "aws-alb": "muniment.event.aws:SOURCE",
    "aws-nlb": "muniment.event.aws:SOURCE",
    "aws-clb": "muniment.event.aws:SOURCE",
    "cloudtrail": "muniment.event.aws.cloudtrail:SOURCE",
    "cloudevents": "muniment.event.cloudevents:SOURCE",
    "change": "muniment.event.change:SOURCE",
    "cef": "muniment.event.cef:SOURCE",
    "leef": "muniment.event.leef:SOURCE",
    "record": "muniment.event.records:SOURCE",
    "json": "muniment.event.structured:SOURCE",
    "muniment": "muniment.event.structured:SOURCE",
    "counters": "muniment.event.counters:SOURCE",
    "text": "muniment.event.text:SOURCE",
}


@dataclass(frozen=True, slots=True)
class Context:
    """What a parser may know beside the lines.

    `received` holds the receipt times (timestamp us, UTC; null where unknown), one a line.
    `zone` is the IANA time zone of stamps that name none. `about` is what the sender said of the
    lines beside their bytes: the JSON text of a flat object of strings, or null, one a line; None
    where nothing was said of any. `inner` is what follows the slash in `as`: the name of the parser
    for lines inside of these.
    """

    received: pl.Series
    zone: str = "UTC"
    about: pl.Series | None = None
    inner: str = ""

    def at(self, rows: pl.Series) -> Context:
        """The context of a selection of the lines."""
        about = None if self.about is None else self.about[rows]
        return replace(self, received=self.received[rows], about=about)

    def between(self, start: int, end: int) -> Context:
        """The context of a run of the lines."""
        about = None if self.about is None else self.about[start:end]
        return replace(self, received=self.received[start:end], about=about)


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


class Rendering(Protocol):
    """What a source of bytes that are no text has beside `parse`.

    `render` makes text of entries, which then is what `parse` gets and what people see and search
    (`raw_data`): JSON, as the protocol maps itself to it. None for an entry that cannot be
    rendered; its text is then that of any other entry, bytes that are not UTF-8 as `\\xNN`, and
    `parse` says what is wrong with it.
    """

    def render(self, raws: Sequence[bytes]) -> list[str | None]: ...


# A source may also have these attributes:
# `takes_inner`: it takes envelopes off lines, and `as` may name the parser of those in `inner`;
# `reads_parts`: it reads the first part of a record that no entry can hold, as far as that goes;
# `reads_about`: it reads `context.about`, and puts what it has no column for into `unmapped`.


@cache
def sources() -> Mapping[str, EntryPoint]:
    """The known sources by name; nothing is imported before `find` asks for it.

    Those that come with Muniment go before others of the same name.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    found.update({name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()})
    found.update({name: EntryPoint(name, "own", GROUP) for name in _own})
    return found


_own: dict[str, Source] = {}


def use(own: Mapping[str, Source]) -> None:
    """Makes sources known beside those that are installed; for the start of a process.

    Raises ValueError where one has the name of another.
    """
    taken = sorted(set(own) & set(sources()))
    if taken:
        raise ValueError(f"there is a source of that name already: {', '.join(taken)}")
    _own.update(own)
    sources.cache_clear()


@cache
def _load(point: EntryPoint) -> Source:
    module, _, attribute = point.value.partition(":")
    source: Source = getattr(import_module(module), attribute)
    return source


def find(name: str) -> Source | None:
    """The source of that name, or None; an import error of an outside source is raised."""
    own = _own.get(name)
    if own is not None:
        return own
    point = sources().get(name)
    return None if point is None else _load(point)


def reads_about(name: str) -> bool:
    """Whether the source that `as` names reads what the sender said beside the bytes."""
    return _has(name, "reads_about")


def reads_parts(name: str) -> bool:
    """Whether the source that `as` names reads the first part of a record in parts."""
    return _has(name, "reads_parts")


def _has(name: str, attribute: str) -> bool:
    try:
        return bool(getattr(find(name.partition("/")[0]), attribute, False))
    except Exception:
        return False


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
