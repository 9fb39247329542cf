"""Elastic Load Balancing: access logs of all its balancers, connection and health check logs.

What kind of line it is shows in its shape, so one source reads them all: a bucket holds several
kinds side by side. Lines may come with or without a syslog header.
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf
from muniment.event.aws import alb, classic, connection, nlb
from muniment.event.source import Context, Fits, Parse, parse_first

_TEST = r"^Enable AWSLogs for ELB: "


def _test_file(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """What `ELBAccessLogTestFile` holds, which is put into a bucket when logs are turned on."""
    severity = pl.repeat(ocsf.INFORMATIONAL, len(lines), dtype=pl.Int32, eager=True)
    return pl.DataFrame({"message": lines, "severity_id": severity})


# Tried in this order on what the one before left over.
_FORMATS: tuple[tuple[Fits, Parse], ...] = (
    (lambda lines: lines.str.contains(alb.STARTS), alb.parse),
    (lambda lines: lines.str.contains(nlb.STARTS), nlb.parse),
    (lambda lines: lines.str.contains(connection.CONNECTION_STARTS), connection.parse_connection),
    (lambda lines: lines.str.contains(classic.STARTS), classic.parse),
    (lambda lines: lines.str.contains(connection.HEALTH_STARTS), connection.parse_health),
    (lambda lines: lines.str.contains(_TEST), _test_file),
)
_UNKNOWN = "no log of Elastic Load Balancing that is known begins like the line"


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines can only be Elastic Load Balancing's."""
    return bodies.str.contains(rf"{alb.STARTS}(?:[0-9.]+:[0-9]+|\[[^ ]+|-) ") | bodies.str.contains(
        r"^tls [0-9]\.[0-9] [0-9T:.-]+Z? net/"
    )


class ElasticLoadBalancing:
    """The source `aws-elb`, also under the names of its kinds."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        return parse_first(_FORMATS, lines, context, _UNKNOWN)


SOURCE = ElasticLoadBalancing()
