"""HAProxy: HTTP, HTTPS, TCP, CLF and JSON logs, failed connections, state changes.

Lines may come with or without a syslog header. `%t` and `%tr` have no zone: they are in the
context's zone, UTC unless set.
"""

from __future__ import annotations

import polars as pl

from muniment.event.haproxy import clf, http, objects, state, tcp
from muniment.event.source import Context, Fits, Parse, parse_first
from muniment.event.syslog_header import put_back, strip

# Tried in this order on what the one before left over; the first is by far the most frequent.
_FORMATS: tuple[tuple[Fits, Parse], ...] = (
    (lambda lines: lines.str.contains(http.WHOLE), http.parse),
    (lambda lines: lines.str.contains(tcp.TCP), tcp.parse_tcp),
    (lambda lines: lines.str.starts_with("{"), objects.parse),
    (lambda lines: lines.str.contains(clf.STARTS), clf.parse),
    (lambda lines: lines.str.contains(tcp.HANDSHAKE), tcp.parse_handshake),
    (lambda lines: lines.str.contains(tcp.ERROR), tcp.parse_error),
    (lambda lines: lines.str.contains(tcp.CONNECT), tcp.parse_connect),
    (lambda lines: lines.str.contains(http.STARTS), http.parse),
    (state.is_known, state.parse),
)
_UNKNOWN = "no HAProxy log format that is known fits the line"


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be HAProxy's."""
    return (
        bodies.str.contains(http.WHOLE)
        | bodies.str.contains(tcp.TCP)
        | bodies.str.contains(tcp.CONNECT)
        | bodies.str.contains(tcp.ERROR)
    )


def parse_bodies(bodies: pl.Series, context: Context) -> pl.DataFrame:
    """Events of lines whose syslog header is already off."""
    return parse_first(_FORMATS, bodies, context, _UNKNOWN)


class HAProxy:
    """The source `haproxy`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        header = strip(lines, context)
        events = put_back(parse_bodies(header["body"], context), header, context.zone)
        return _with_severity(events)


def _with_severity(events: pl.DataFrame) -> pl.DataFrame:
    if "app" not in events.columns:
        return events
    return events.with_columns(
        pl.when(pl.col("class_uid") == 6002)
        .then(pl.coalesce("severity_id", state.default_severity("message")))
        .otherwise("severity_id")
        .alias("severity_id")
    )


SOURCE = HAProxy()
