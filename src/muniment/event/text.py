"""Lines of no declared source: JSON objects are read as such, the rest is kept as a message."""

from __future__ import annotations

import polars as pl

from muniment.event.objects import decode_object
from muniment.event.source import Context, merge
from muniment.event.structured import SOURCE as STRUCTURED


class Text:
    """The source `text`, which is also what an entry without `as` is.

    A line is a Base Event with itself as the message, never a parse error: nothing was promised
    about it. A line that is a whole JSON object is what the source `json` makes of it.
    """

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        maybe = lines.str.starts_with("{") & lines.str.strip_chars_end().str.ends_with("}")
        rows = maybe.arg_true()
        if len(rows):
            good = [isinstance(decode_object(line), dict) for line in lines.gather(rows)]
            rows = rows.filter(pl.Series(good, dtype=pl.Boolean))
        others = pl.select(
            pl.int_range(len(lines), dtype=pl.UInt32).filter(
                ~pl.int_range(len(lines), dtype=pl.UInt32).is_in(rows.implode())
            )
        ).to_series()
        parts = []
        if len(rows):
            parts.append((rows, STRUCTURED.parse(lines.gather(rows), context.at(rows))))
        if len(others):
            parts.append((others, plain(lines.gather(others))))
        return merge(parts, len(lines))


def plain(lines: pl.Series) -> pl.DataFrame:
    """Base Events with the lines as messages."""
    informational = pl.repeat(1, len(lines), dtype=pl.Int32, eager=True)
    return pl.DataFrame({"message": lines, "severity_id": informational})


SOURCE = Text()
