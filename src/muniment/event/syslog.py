"""Syslog of any origin: the header is taken off, the rest goes to the parser it belongs to.

The tag (RFC 3164) or app-name (RFC 5424) decides: `haproxy…`, `nginx…` and `ngx…` as HAProxy and
NGINX name themselves or are named by habit, or the name of any other source. Else the shape of the
message decides, for HAProxy and NGINX lines and for JSON objects. Everything that remains is kept
as a Base Event with its message and the severity of its header; that is no parse error.
"""

from __future__ import annotations

import polars as pl

from muniment.event.envelope import read
from muniment.event.source import Context
from muniment.event.syslog_header import put_back, strip


class Syslog:
    """The source `syslog`."""

    takes_inner = True

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        header = strip(lines, context)
        events = read(header["body"], header["tag"], context, bare=True)
        return put_back(events, header, context.zone)


SOURCE = Syslog()
