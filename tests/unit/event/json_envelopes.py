"""What the tests of JSON envelopes stand on."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence

import polars as pl
from hypothesis import strategies as st

from muniment.event.guard import run
from muniment.event.source import Context

NGINX = '192.0.2.1 - - [20/Nov/2026:23:06:18 +0000] "GET /a HTTP/1.1" 404 5 "-" "curl/8"'
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def read(
    source: str, lines: Sequence[str], abouts: Sequence[Mapping[str, str] | None] = ()
) -> list[dict]:
    """The rows that a source makes of lines, as a parser leaves them."""
    about = [None if each is None else json.dumps(each) for each in abouts]
    frame = run(
        source,
        pl.Series(lines, dtype=pl.String),
        Context(
            pl.Series([NOW] * len(lines), dtype=pl.Datetime("us", "UTC")),
            about=pl.Series(about, dtype=pl.String) if about else None,
        ),
    )
    assert frame.height == len(lines)
    return frame.to_dicts()


def assert_read(source: str, lines: Sequence[str], **options) -> None:
    """Fails where the parser did."""
    for row in read(source, lines, **options):
        assert "parser failed" not in (row.get("parse_error") or ""), (lines, row)
