"""ingress-nginx: the logs of its NGINX, and the messages of its controller.

Lines may come with a syslog header, or as a container runtime wrote them to a file.
"""

from __future__ import annotations

import polars as pl

from muniment.event import container, klog, nginx, ocsf
from muniment.event.lifecycle import told
from muniment.event.source import Context, Fits, Parse, parse_first
from muniment.event.syslog_header import put_back, strip

_PRODUCT, _APP = "ingress-nginx", "ingress-nginx"
_BANNER = (
    r"^(?:-{20,}|NGINX Ingress controller|  (?:Release|Build|Repository|nginx version): +[^ ].*)$"
)
_ACTIVITIES = (
    (r"^Backend successfully reloaded|^Initial sync|backend reload required", ocsf.UPDATE),
    (
        r"^(?:Adding|Updating|Removing|Updated|Added) |^Event\(.*reason: 'Sync'"
        r"|Configuration changes detected|new leader elected",
        ocsf.UPDATE,
    ),
    (r"^Starting NGINX|^\"?Starting|^Creating API client|^NGINX Ingress controller", ocsf.START),
    (r"^Shutting down|^Stopping|[Rr]eceived SIGTERM|^Exiting|has stopped", ocsf.STOP),
)


def _messages(lines: pl.Series, context: Context) -> pl.DataFrame:
    return klog.parse(lines, context, _PRODUCT, _APP, _ACTIVITIES)


def _banner(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    frame = pl.DataFrame({"message": lines.str.strip_chars(" ")}).with_columns(
        pl.lit("info").alias("level"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("time_dt"),
        pl.lit(None, pl.String).alias("unmapped"),
        pl.lit(None, pl.String).alias("parse_error"),
    )
    return told(frame, _PRODUCT, _APP, _ACTIVITIES)


_FORMATS: tuple[tuple[Fits, Parse], ...] = (
    *nginx.FORMATS,
    (lambda lines: lines.str.contains(klog.STARTS), _messages),
    (lambda lines: lines.str.contains(_BANNER), _banner),
)
_UNKNOWN = "no format of ingress-nginx that is known fits the line"


class IngressNginx:
    """The source `ingress-nginx`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        bodies, stamp = container.unwrap(lines)
        header = strip(bodies, context)
        events = parse_first(_FORMATS, header["body"], context, _UNKNOWN)
        return container.with_time(put_back(events, header, context.zone), stamp)


SOURCE = IngressNginx()
