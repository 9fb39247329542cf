"""HAProxy's `option httplog clf`: the Common Log Format, then HAProxy's own fields.

ci - - [trg] "request" ST B "" "" cp ms "ft" "b" "s" TR Tw Tc Tr Ta tsc ac fc bc sc rc sq bq
"CC" "CS" "hr"... "hs"...
"""

from __future__ import annotations

import polars as pl

from muniment.event import stamps
from muniment.event.access import http_events, with_unmapped
from muniment.event.escapes import HASH
from muniment.event.haproxy.common import (
    CUT_SHORT,
    PRODUCT,
    cookie,
    load,
    milliseconds,
    place,
    termination_detail,
)
from muniment.event.request import address, split_request, url
from muniment.event.source import Context, merge

_DATE = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
_HEAD = rf"(?P<host>[^ ]+) - - \[(?P<stamp>{_DATE})\] \"(?P<request>[^\"]*)"
_NUMBER = r"\+?-?[0-9]+"
_TIMERS = " ".join([_NUMBER] * 5)
_CONNECTIONS = " ".join([_NUMBER] * 5)

STARTS = rf"^[^ ]+ - - \[{_DATE}\] \""

_WHOLE = (
    rf"(?s)^{_HEAD}\" (?P<status>-?[0-9]+) (?P<bytes>\+?[0-9]+) \"[^\"]*\" \"[^\"]*\" "
    r'(?P<number>[0-9]+) (?P<ms>[0-9]{1,3}) "(?P<frontend>[^"]*)" "(?P<backend>[^"]*)" '
    rf'"(?P<server>[^"]*)" (?P<timers>{_TIMERS}) (?P<termination>[A-Za-z-]{{4}}) '
    rf"(?P<connections>{_CONNECTIONS}) (?P<queues>{_NUMBER} {_NUMBER}) (?P<tail>.*)$"
)
_CUT = rf'(?s)^{_HEAD}(?P<closed>")?(?: (?P<status>-?[0-9]+) .*)?'
# Cookies come first in the tail, unescaped: only if nothing else is there, no client can have
# written what looks like the next field.
_TAIL = r'^"(?P<cookie>[^"]*)" "(?P<response_cookie>[^"]*)" ?$'


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Events of lines that match `STARTS`; the stamps are UTC by themselves."""
    whole = lines.str.contains(_WHOLE)
    parts = []
    if whole.any():
        frame = lines.filter(whole).str.extract_groups(_WHOLE).struct.unnest()
        parts.append((whole.arg_true(), _whole(frame)))
    if not whole.all():
        frame = lines.filter(~whole).str.extract_groups(_CUT).struct.unnest()
        parts.append(((~whole).arg_true(), _cut(frame)))
    return merge(parts, len(lines))


def _whole(frame: pl.DataFrame) -> pl.DataFrame:
    line = split_request(frame["request"], HASH)
    flat = frame.with_columns(*line).with_columns(*url(line["target"], cut=line["bare"]))
    timers = pl.col("timers").str.split_exact(" ", 4).struct
    count = pl.col("bytes").str.strip_prefix("+").cast(pl.Int64, strict=False)
    tail = pl.col("tail").str.extract_groups(_TAIL).struct
    flat = flat.with_columns(
        (_second() + pl.duration(milliseconds=pl.col("ms").cast(pl.Int64))).alias("time_dt"),
        pl.col("request").alias("message"),
        pl.concat_str(["host", "number"], separator=":").alias("client"),
        pl.concat_str(["backend", "server"], separator="/").alias("place"),
        pl.col("connections").str.replace_all(" ", "/"),
        pl.col("queues").str.replace(" ", "/"),
        milliseconds(timers.field("field_4").str.strip_prefix("+")).alias("duration"),
        pl.struct(
            milliseconds(timers.field(f"field_{i}")).alias(name)
            for i, name in enumerate(("request", "queue", "connect", "response"))
        ).alias("timings"),
        count.alias("bytes_in"),
        count.alias("response_length"),
        tail.field("cookie").replace("", None).alias("request_cookie"),
        tail.field("response_cookie").replace("", None).alias("response_cookie"),
        pl.when(tail.field("cookie").is_null()).then("tail").alias("captured"),
    )
    flat = flat.with_columns(
        *address(flat["client"], "client"),
        *place(),
        load().alias("load"),
        termination_detail("termination").alias("status_detail"),
        cookie("request_cookie").alias("cookies"),
    )
    members = {
        "response_cookie": pl.col("response_cookie"),
        "captured": pl.col("captured").str.strip_chars().replace("", None),
        "truncated": pl.when("bare").then(True),
        "server": pl.col("applet"),
    }
    return http_events(with_unmapped(flat, members), PRODUCT)


def _cut(frame: pl.DataFrame) -> pl.DataFrame:
    line = split_request(frame["request"], HASH)
    flat = frame.with_columns(*line).with_columns(
        *url(line["target"], cut=frame["closed"].is_null())
    )
    flat = flat.with_columns(
        _second().alias("time_dt"),
        pl.col("request").alias("message"),
        pl.col("host").str.extract(r"^([0-9A-Fa-f:.]+)$").alias("client_ip"),
        pl.lit(CUT_SHORT).alias("parse_error"),
    )
    return http_events(with_unmapped(flat, {"truncated": pl.lit(True)}), PRODUCT)


def _second() -> pl.Expr:
    return stamps.zoned(pl.col("stamp"), "%d/%b/%Y:%H:%M:%S %z")
