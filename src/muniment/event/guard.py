"""Sources kept from harm: what one raises, or answers wrongly, costs the lines at fault alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import polars as pl
import pyarrow as pa

from muniment.event.schema import SCHEMA
from muniment.event.source import Context, Source, failed, find
from muniment.event.table import check_type

Render = Callable[[Sequence[bytes]], list[str | None]]
_MAX_TRIES = 64
_MAX_DEPTH = 4
_FRAME_COLUMNS = frozenset(SCHEMA.names) - {"log", "shard", "index", "raw_data", "time"}


def run(name: str, lines: pl.Series, context: Context) -> pl.DataFrame:
    """Parses with the source `name`; never raises for what the lines hold.

    A name with a slash is a source that takes an envelope off, and the name of the one for the
    lines inside. Rows that make the parser raise are found by halving, so that one hostile line
    does not cost the others their fields; they carry the exception in `parse_error`.
    """
    outer, _, inner = name.partition("/")
    try:
        source = find(outer)
    except Exception as error:
        return failed(lines, f"the source {outer!r} cannot be loaded: {_say(error)}")
    if source is None or inner.count("/") >= _MAX_DEPTH:
        return failed(lines, f"unknown source {name!r}")
    if inner and not getattr(source, "takes_inner", False):
        return failed(lines, f"the source {outer!r} holds no lines of others")
    return _Guard(outer, source).run(lines, replace(context, inner=inner))


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
        first = self.run(lines[:half], context.between(0, half))
        second = self.run(lines[half:], context.between(half, len(lines)))
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


def renderer(name: str) -> Render | None:
    """How the source that `as` names makes text of its entries; None where they are text.

    What it answers has as many items as there are entries, and never raises.
    """
    try:
        render: Render | None = getattr(find(name.partition("/")[0]), "render", None)
    except Exception:
        return None  # `run` says what is wrong with the source
    return None if render is None else partial(_rendered, render)


def _rendered(render: Render, raws: Sequence[bytes]) -> list[str | None]:
    try:
        return _checked_texts(render(raws), len(raws))
    except Exception:
        if len(raws) == 1:
            return [None]
    return [text for raw in raws for text in _rendered(render, [raw])]


def _checked_texts(texts: list[str | None], height: int) -> list[str | None]:
    if len(texts) != height:
        raise ValueError(f"{len(texts)} texts came back for {height} entries")
    pa.array(texts, pa.string())
    return texts
