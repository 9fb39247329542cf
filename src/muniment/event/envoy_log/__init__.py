"""Envoy's logs: access logs in the usual formats, as text and as JSON, and its own messages.

The access log service is in `muniment.event.envoy`.
"""

from __future__ import annotations

import polars as pl

from muniment.event.envoy_log import objects, own, text
from muniment.event.source import Context, Fits, Parse, parse_first

_FORMATS: tuple[tuple[Fits, Parse], ...] = (
    (lambda lines: lines.str.contains(text.STARTS), text.parse),
    (lambda lines: lines.str.starts_with("{"), objects.parse),
    (lambda lines: lines.str.contains(own.STARTS), own.parse),
)
_UNKNOWN = "no Envoy log format that is known fits the line, nor is it of the access log service"


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be Envoy's."""
    return bodies.str.contains(text.CERTAIN) | bodies.str.contains(objects.CERTAIN)


def parse_bodies(bodies: pl.Series, context: Context) -> pl.DataFrame:
    """Events of lines whose headers are already off."""
    return parse_first(_FORMATS, bodies, context, _UNKNOWN)
