"""NGINX: access logs, JSON access logs, the stream log, the error log; with or without syslog.

The error log's stamps have no zone: they are in the context's zone, UTC unless set.
"""

from __future__ import annotations

import polars as pl

from muniment.event.nginx import access, error, objects, stream
from muniment.event.source import Context, Fits, Parse, parse_first
from muniment.event.syslog_header import put_back, strip

FORMATS: tuple[tuple[Fits, Parse], ...] = (
    (lambda lines: lines.str.contains(access.STARTS), access.parse),
    (lambda lines: lines.str.starts_with("{"), objects.parse),
    (lambda lines: lines.str.contains(error.ERROR), error.parse),
    (lambda lines: lines.str.contains(access.TLS), access.parse_tls),
    (lambda lines: lines.str.contains(stream.STREAM), stream.parse),
    (lambda lines: lines.str.contains(access.HOSTED), access.parse_hosted),
)
_UNKNOWN = "no NGINX log format that is known fits the line"


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be NGINX's."""
    return bodies.str.contains(access.STARTS) | bodies.str.contains(error.ERROR)


def parse_bodies(bodies: pl.Series, context: Context) -> pl.DataFrame:
    """Events of lines whose syslog header is already off."""
    return parse_first(FORMATS, bodies, context, _UNKNOWN)


class Nginx:
    """The source `nginx`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        header = strip(lines, context)
        return put_back(parse_bodies(header["body"], context), header, context.zone)


SOURCE = Nginx()
