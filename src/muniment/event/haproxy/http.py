r"""HAProxy's `option httplog` and `option httpslog`, with or without captures.

    ci:cp [tr] ft b/s TR/Tw/Tc/Tr/Ta ST B CC CS tsc ac/fc/bc/sc/rc sq/bq {hr} {hs} "request" tls

All but the two captured cookies is safe to split: names come from the configuration, header
captures have `"{|}#` escaped, the request has `"#` escaped. Cookies are logged as they come, so a
client can write into the line what looks like other fields. Therefore the fields before the cookies
are read from the left, those after them from the right end, and where the end is missing, they are
read only when the client sent no cookie to capture.
"""

from __future__ import annotations

import polars as pl

from muniment.event.access import http_events, with_missing, with_unmapped
from muniment.event.escapes import HASH, split_and_undo
from muniment.event.haproxy.common import (
    CONNECTIONS,
    CUT_SHORT,
    DATE,
    PRODUCT,
    QUEUES,
    cookie,
    load,
    log_time,
    milliseconds,
    place,
    termination_detail,
    tls_end,
)
from muniment.event.request import address, split_request, url
from muniment.event.source import Context, merge

_HEAD = rf"[^ ]+:[0-9]+ \[{DATE}\] [^ ]+ [^ /]+/[^ ]+ "
_TIMERS = r"(?:-?[0-9]+/){4}\+?-?[0-9]+"
_TERMINATION = r"[A-Za-z-]{4}"
_CAPTURES = r'(?:\{[^{}"]*\} ){0,2}'
_TLS = r"[0-9]+/[0-9A-Fa-f]*/[0-9]*/[0-9]*/[0-9]* [^ ]*/[^ /]+/[^ /]+"
_MIDDLE = rf"{_TERMINATION} {CONNECTIONS} {QUEUES} "
_END = rf'{_CAPTURES}"[^"]*"(?: {_TLS})?$'

WHOLE = rf"^{_HEAD}{_TIMERS} -?[0-9]+ \+?[0-9]+ [^ ]+ [^ ]+ {_MIDDLE}{_END}"
STARTS = rf"^[^ ]+:[0-9]+ \[{DATE}\] (?:[^ ]+(?: [^ /]+(?:/[^ ]*(?: [-+0-9/]*(?: .*)?)?)?)?)?$"

_COOKIE_DOUBT = "fields after the format: what follows the client's cookie may be its own words"

_PIECES = (
    "client",
    "stamp",
    "frontend",
    "place",
    "timers",
    "status",
    "bytes",
    "request_cookie",
    "response_cookie",
    "termination",
    "connections",
    "queues",
    "rest",
)

_ODD_COOKIES = (
    rf"(?s)^(?P<client>[^ ]+:[0-9]+) (?P<stamp>\[{DATE}\]) (?P<frontend>[^ ]+) "
    rf"(?P<place>[^ /]+/[^ ]+) (?P<timers>{_TIMERS}) (?P<status>-?[0-9]+) (?P<bytes>\+?[0-9]+) "
    rf"(?P<cookies>.+) (?P<termination>{_TERMINATION}) (?P<connections>{CONNECTIONS}) "
    rf"(?P<queues>{QUEUES}) (?P<rest>{_END[:-1]})$"
)

_CUT = (
    rf"(?s)^(?P<client>[^ ]+:[0-9]+) (?P<stamp>\[{DATE}\]) "
    rf"(?:(?P<frontend>[^ ]+) (?:(?P<place>[^ /]+/[^ ]+) (?:(?P<timers>{_TIMERS}) "
    r"(?:(?P<status>-?[0-9]+) (?:(?P<bytes>\+?[0-9]+) (?:(?P<request_cookie>[^ ]+) "
    rf"(?:(?P<response_cookie>[^ ]+) (?:(?P<termination>{_TERMINATION}) "
    rf"(?:(?P<connections>{CONNECTIONS}) (?:(?P<queues>{QUEUES}) "
    rf'(?:(?P<captured>{_CAPTURES})"(?P<request>[^"]*)(?P<closed>")?(?P<tail>.*)'
    r")?)?)?)?)?)?)?)?)?)?)?.*$"
)


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:
    """Events of lines that all match `STARTS`; those cut short carry a parse_error."""
    whole = lines.str.contains(WHOLE)
    if whole.all():
        return _events(_rest(_split(lines)), context)
    odd = ~whole & lines.str.contains(_ODD_COOKIES)
    cut = ~whole & ~odd
    parts = []
    for mask, read in ((whole, _split), (odd, _split_odd)):
        if mask.any():
            parts.append((mask.arg_true(), _events(_rest(read(lines.filter(mask))), context)))
    if cut.any():
        parts.append((cut.arg_true(), _events(_split_cut(lines.filter(cut)), context)))
    return merge(parts, len(lines))


def _split(lines: pl.Series) -> pl.DataFrame:
    # The pattern has been matched by an automaton, which is fast; capturing with it is not.
    return lines.str.splitn(" ", len(_PIECES)).struct.rename_fields(_PIECES).struct.unnest()


def _split_odd(lines: pl.Series) -> pl.DataFrame:
    """A cookie holds spaces: where one ends and the next begins cannot be known."""
    frame = lines.str.extract_groups(_ODD_COOKIES).struct.unnest()
    return frame.with_columns(
        pl.lit(None, pl.String).alias("request_cookie"),
        pl.lit(None, pl.String).alias("response_cookie"),
    )


def _rest(pieces: pl.DataFrame) -> pl.DataFrame:
    """`{hr} {hs} "request" tls` in pieces; none of the three but the last holds a quote."""
    parts = pl.col("rest").str.splitn('"', 3).struct
    return pieces.with_columns(
        parts.field("field_0").alias("captured"),
        parts.field("field_1").alias("request"),
        parts.field("field_2").str.strip_prefix(" ").replace("", None).alias("tls"),
    )


def _split_cut(lines: pl.Series) -> pl.DataFrame:
    frame = lines.str.extract_groups(_CUT).struct.unnest()
    tail = pl.col("tail")
    # Without the end of the format as an anchor, all after a cookie may be the cookie speaking.
    safe = pl.col("request_cookie") == "-"
    # Numbers where names and timers are wanted belong to a format that only begins alike.
    sure = pl.col("status").is_not_null()
    frame = frame.with_columns(
        pl.when(sure).then("timers").alias("timers"),
        pl.when(sure | ~pl.col("place").str.contains("^[0-9]+/[0-9]+$"))
        .then("place")
        .alias("place"),
    )
    untrusted = (
        "request_cookie",
        "response_cookie",
        "termination",
        "connections",
        "queues",
        "captured",
        "request",
    )
    frame = frame.with_columns(pl.when(safe.fill_null(False)).then(n).alias(n) for n in untrusted)
    ended = (pl.col("closed").is_not_null() & pl.col("request").is_not_null()).fill_null(False)
    return frame.with_columns(
        pl.when(ended).then(tail.str.strip_prefix(" ").replace("", None)).alias("trailing"),
        pl.when(~ended & pl.col("closed").is_null())
        .then(pl.lit(CUT_SHORT))
        .when(~ended)
        .then(pl.lit(_COOKIE_DOUBT))
        .alias("parse_error"),
    )


def _events(pieces: pl.DataFrame, context: Context) -> pl.DataFrame:
    pieces = with_missing(pieces, ("parse_error", "trailing", "tls", "cookies"))
    flat = _request(pieces)
    timers = pl.col("timers").str.split_exact("/", 4).struct
    count = pl.col("bytes").str.strip_prefix("+").cast(pl.Int64, strict=False)
    early = pl.col("bytes").str.starts_with("+")
    flat = flat.with_columns(
        log_time("stamp", context).alias("time_dt"),
        *address(pieces["client"], "client"),
        *place(),
        milliseconds(timers.field("field_4").str.strip_prefix("+")).alias("duration"),
        pl.struct(
            milliseconds(timers.field(f"field_{i}")).alias(name)
            for i, name in enumerate(("request", "queue", "connect", "response"))
        ).alias("timings"),
        count.alias("bytes_in"),
        pl.when(~early).then(count).alias("response_length"),
        load().alias("load"),
        termination_detail("termination").alias("status_detail"),
        cookie("request_cookie").alias("cookies"),
        _captures(pieces["captured"]).alias("captures"),
        *tls_end("tls", flat),
        pl.col("cookies").alias("cookies_text"),
    )
    members = {
        "response_cookie": pl.col("response_cookie").replace("-", None),
        "cookies": pl.col("cookies_text"),
        "logged_early": pl.when(early).then(True),
        "truncated": pl.when(pl.col("cut")).then(True),
        "tls_error": pl.col("tls_error"),
        "trailing": pl.col("trailing"),
        "server": pl.col("applet"),
    }
    events = http_events(with_unmapped(flat, members), PRODUCT)
    # A line cut before its status may as well be one of another format.
    known = pl.lit(flat["status"].is_not_null())
    return events.with_columns(
        pl.when(known).then(pl.col(name)).alias(name) for name in ("class_uid", "metadata")
    )


def _request(pieces: pl.DataFrame) -> pl.DataFrame:
    """The request line and what of it is certain.

    HAProxy takes HTTP/0.9 only if told to, so a request without version is one that was cut at
    `tune.http.logurilen`; so is the one at which a cut line ends.
    """
    line = split_request(pieces["request"], HASH)
    flat = pieces.with_columns(*line, pl.col("request").alias("message"))
    broken = pl.col("parse_error").is_not_null()
    cut = flat.select((broken | pl.col("bare")).fill_null(False).alias("cut")).to_series()
    flat = flat.with_columns(*url(flat["target"], cut=cut), cut)
    over_tls = pl.col("frontend").str.ends_with("~")
    return flat.with_columns(
        pl.coalesce(
            "scheme", pl.when(over_tls & pl.col("target").is_not_null()).then(pl.lit("https"))
        ).alias("scheme")
    )


def _captures(captured: pl.Series) -> pl.Series:
    """`{a|b} {c|d} ` as lists; a single group is taken to be that of the request."""
    inside = captured.replace("", None).str.strip_suffix("} ").str.strip_prefix("{")
    groups = inside.str.splitn("} {", 2).struct
    return pl.DataFrame(
        {
            "request": split_and_undo(groups.field("field_0"), "|", HASH),
            "response": split_and_undo(groups.field("field_1"), "|", HASH),
        }
    ).to_struct("captures")
