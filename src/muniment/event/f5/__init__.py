"""F5 BIG-IP: the audit log (tmsh, mcpd, logins, REST), messages of the system, request logging.

Events of Application Security Manager come as CEF and belong to the source `cef`.
"""

from __future__ import annotations

import polars as pl

from muniment.event.access import of_product
from muniment.event.f5 import audit, request
from muniment.event.nginx import access
from muniment.event.source import Context, Fits, Parse, parse_first
from muniment.event.syslog_header import put_back, strip

_UNKNOWN = "no format of BIG-IP that is known fits the line"


def _combined(lines: pl.Series, context: Context) -> pl.DataFrame:
    return of_product(access.parse(lines, context), request.PRODUCT)


_FORMATS: tuple[tuple[Fits, Parse], ...] = (
    (lambda lines: lines.str.contains(request.PAIRS), request.parse),
    (lambda lines: lines.str.contains(access.STARTS), _combined),
    (lambda lines: lines.str.contains(audit.STARTS), audit.parse),
)


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be BIG-IP's."""
    return bodies.str.contains(audit.CERTAIN) | bodies.str.contains(request.CERTAIN)


def parse_bodies(bodies: pl.Series, context: Context) -> pl.DataFrame:
    """Events of lines whose syslog header is already off."""
    return parse_first(_FORMATS, bodies, context, _UNKNOWN)


class F5:
    """The source `f5`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        header = audit.with_daemon(lines, strip(lines, context))
        return put_back(parse_bodies(header["body"], context), header, context.zone)


SOURCE = F5()
