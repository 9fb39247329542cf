"""Syslog of any origin: the header is taken off, the rest goes to the parser it belongs to.

The tag (RFC 3164) or app-name (RFC 5424) decides: `haproxy…`, `nginx…` and `ngx…` as HAProxy and
NGINX name themselves or are named by habit, or the name of any other source. Else the shape of the
message decides, for HAProxy and NGINX lines and for JSON objects. Everything that remains is kept
as a Base Event with its message and the severity of its header; that is no parse error.
"""

from __future__ import annotations

import polars as pl

from muniment.event import haproxy, nginx
from muniment.event.source import Context, merge, run, sources
from muniment.event.structured import SOURCE as STRUCTURED
from muniment.event.syslog_header import put_back, strip
from muniment.event.text import plain

_NEVER_BY_TAG = frozenset({"syslog", "text", "json", "muniment"})


class Syslog:
    """The source `syslog`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        header = strip(lines, context)
        bodies = header["body"]
        whose = _whose(header["tag"], bodies)
        parts = []
        for name in whose.unique(maintain_order=True).to_list():
            rows = (whose == name).arg_true()
            part = _parse(name, bodies.gather(rows), context.at(rows))
            parts.append((rows, part))
        return put_back(merge(parts, len(lines)), header, context.zone)


def _whose(tags: pl.Series, bodies: pl.Series) -> pl.Series:
    """The parser of each line: the name of a source, or empty for none."""
    tag = tags.str.to_lowercase()
    others = [name for name in sources() if name not in _NEVER_BY_TAG]
    by_tag = pl.select(
        pl.when(tag.str.starts_with("haproxy"))
        .then(pl.lit("haproxy"))
        .when(tag.str.starts_with("nginx") | tag.str.starts_with("ngx"))
        .then(pl.lit("nginx"))
        .when(tag.is_in(others))
        .then(tag)
    ).to_series()
    if by_tag.null_count() == 0:
        return by_tag
    unknown = pl.select(pl.when(by_tag.is_null()).then(bodies)).to_series()
    by_shape = pl.select(
        pl.when(haproxy.looks_like(unknown))
        .then(pl.lit("haproxy"))
        .when(nginx.looks_like(unknown))
        .then(pl.lit("nginx"))
        .when(unknown.str.starts_with("{") & unknown.str.ends_with("}"))
        .then(pl.lit("json"))
        .otherwise(pl.lit(""))
    ).to_series()
    return by_tag.fill_null(by_shape)


def _parse(name: str, bodies: pl.Series, context: Context) -> pl.DataFrame:
    if name == "haproxy":
        return haproxy.parse_bodies(bodies, context)
    if name == "nginx":
        return nginx.parse_bodies(bodies, context)
    if name == "json":
        return STRUCTURED.parse(bodies, context)
    if not name:
        # The severity is the header's to say.
        return plain(bodies).drop("severity_id")
    return run(name, bodies, context)


SOURCE = Syslog()
