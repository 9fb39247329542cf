"""Traefik: the access log (CLF, generic CLF, JSON) and Traefik's own messages.

Traefik's API and dashboard write the same access log; requests to its API are API Activity.
"""

from __future__ import annotations

import polars as pl

from muniment.event.source import Context, Fits, Parse, parse_first
from muniment.event.syslog_header import put_back, strip
from muniment.event.traefik import clf, objects, own

_FORMATS: tuple[tuple[Fits, Parse], ...] = (
    (lambda lines: lines.str.contains(clf.STARTS), clf.parse),
    (lambda lines: lines.str.starts_with("{"), objects.parse),
    (lambda lines: lines.str.contains(own.STARTS), own.parse),
)
_UNKNOWN = "no Traefik log format that is known fits the line"


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be Traefik's."""
    return bodies.str.contains(clf.WHOLE) | bodies.str.contains(objects.CERTAIN)


def parse_bodies(bodies: pl.Series, context: Context) -> pl.DataFrame:
    """Events of lines whose syslog header is already off."""
    return parse_first(_FORMATS, bodies, context, _UNKNOWN)


class Traefik:
    """The source `traefik`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        # The console log begins with a stamp that a syslog header might begin with, too.
        own_stamp = lines.str.contains(own.CONSOLE)
        header = strip(
            pl.select(pl.when(~own_stamp).then(lines)).to_series().fill_null(""), context
        )
        bodies = pl.select(pl.when(own_stamp).then(lines).otherwise(header["body"])).to_series()
        return put_back(parse_bodies(bodies, context), header, context.zone)


SOURCE = Traefik()
