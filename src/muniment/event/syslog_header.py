"""Takes the syslog header off lines: RFC 3164, RFC 5424, and what rsyslog writes into files.

RFC 3164 stamps have neither year nor zone: the year is the one nearest to the receipt time, the
zone the one of the context. RFC 5424 stamps carry their zone. A header without tag or hostname, as
NGINX and HAProxy send, is read for what it has.
"""

from __future__ import annotations

import polars as pl

from muniment.event import facts, ocsf, stamps
from muniment.event.source import Context, merge
from muniment.event.unmapped import joined, json_object

_PRI = r"<[0-9]{1,3}>"
_BSD_STAMP = r"[A-Z][a-z]{2} [ 0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
_ISO_STAMP = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_TAG = r"[^ :\[\]{}\"=]{1,64}(?:\[[^\] :]{0,64}\])?:(?: |$)"
# A hostname does not end in a colon and holds no bracket: that would be the tag already.
_HOST = r"(?:(?:[^ \[\]]{0,255}[^ :\[\]])? )?"

_BSD = rf"^(?:{_PRI})?{_BSD_STAMP} {_HOST}{_TAG}"
_FILE = rf"^(?:{_PRI})?{_ISO_STAMP} {_HOST}{_TAG}"
_BSD_BARE = rf"(?s)^<(?P<pri>[0-9]{{1,3}})>(?:(?P<stamp>{_BSD_STAMP}) )?(?P<body>.*)$"
_SD_PARAM = r'(?:[^"\\\]]|"(?:[^"\\]|\\.)*")'
_SD = rf"(?:\[{_SD_PARAM}*\])+"
_RFC5424_HEAD = (
    rf"^{_PRI}[1-9][0-9]? (?:-|{_ISO_STAMP}) [^ ]{{1,255}} [^ ]{{1,64}} [^ ]{{1,128}} [^ ]{{1,32}} "
)
_RFC5424 = rf"{_RFC5424_HEAD}(?:-|{_SD})(?: |$)"
_DATA = rf"(?s)^(?P<sd>-|{_SD})(?: (?P<body>.*))?$"
# CEF and LEEF stand after the host name without a tag.
_HOST_ONLY = (
    rf"(?s)^(?:<(?P<pri>[0-9]{{1,3}})>)?(?P<stamp>{_BSD_STAMP}|{_ISO_STAMP}) "
    r"(?P<hostname>[^ ]{1,255}) (?P<body>(?:CEF|LEEF): ?[0-9].*)$"
)
_ANY = rf"^(?:<[0-9]{{1,3}}>|{_BSD_STAMP} |{_ISO_STAMP} )"

STARTS = rf"^(?:<[0-9]{{1,3}}>|{_BSD_STAMP} |{_ISO_STAMP} (?:[^ ]+ )?(?:haproxy|nginx)[^ ]*: )"
"""What nothing but a syslog header is likely to be, at the start of a line from anywhere."""

_COLUMNS = ("body", "tag", "hostname", "stamp", "pri", "event_code", "structured_data")


def strip(lines: pl.Series, context: Context) -> pl.DataFrame:
    """The columns body, tag, hostname, stamp, pri, event_code, structured_data, received.

    A line without a header is its own body and has null in the other columns.
    """
    parts: list[tuple[pl.Series, pl.DataFrame]] = []
    left = lines.str.contains(_ANY).arg_true()
    for pattern, take in _HEADERS:
        if not len(left):
            break
        texts = lines if len(left) == len(lines) else lines.gather(left)
        fits = texts.str.contains(pattern)
        if fits.any():
            parts.append((left.filter(fits), take(texts.filter(fits))))
            left = left.filter(~fits)
    if not parts:
        frame = pl.DataFrame({"body": lines})
    else:
        read = merge(parts, len(lines))
        frame = read.with_columns(read["body"].fill_null(lines))
    missing = [pl.lit(None, pl.String).alias(n) for n in _COLUMNS if n not in frame.columns]
    given = [pl.col(n).replace(_NOTHING) for n in frame.columns if n != "body"]
    return frame.with_columns(*missing, *given).with_columns(context.received.alias("received"))


# RFC 5424 writes `-` for what is not known, NGINX an empty hostname.
_NOTHING = {"-": None, "": None}


# The patterns have been matched by an automaton; taking the fields by cutting at separators is many
# times faster than capturing them.
def _rfc5424(texts: pl.Series) -> pl.DataFrame:
    names = ("pri", "stamp", "hostname", "tag", "pid", "event_code", "rest")
    frame = texts.str.splitn(" ", 7).struct.rename_fields(names).struct.unnest()
    rest = frame["rest"]
    plain = rest.str.starts_with("-")
    if plain.all():
        body = rest.str.slice(2)
        data = pl.DataFrame({"structured_data": rest.clear(len(rest)), "body": body})
    else:
        data = rest.str.extract_groups(_DATA).struct.unnest().rename({"sd": "structured_data"})
    return frame.select(
        pl.col("pri").str.extract(r"^<([0-9]+)>"), "stamp", "hostname", "tag", "event_code"
    ).with_columns(data["structured_data"], data["body"].fill_null("").str.strip_prefix("\ufeff"))


def _bsd(texts: pl.Series) -> pl.DataFrame:
    pri = texts.str.extract(r"^<([0-9]+)>")
    rest = _without_pri(texts, pri)
    return _host_and_tag(rest.str.slice(16)).with_columns(
        pri.alias("pri"), rest.str.head(15).alias("stamp")
    )


def _file(texts: pl.Series) -> pl.DataFrame:
    pri = texts.str.extract(r"^<([0-9]+)>")
    parts = _without_pri(texts, pri).str.splitn(" ", 2).struct
    return _host_and_tag(parts.field("field_1")).with_columns(
        pri.alias("pri"), parts.field("field_0").alias("stamp")
    )


def _without_pri(texts: pl.Series, pri: pl.Series) -> pl.Series:
    if pri.null_count() == len(pri):
        return texts
    return (
        texts.str.splitn(">", 2).struct.field("field_1")
        if not pri.null_count()
        else (texts.str.replace(r"^<[0-9]+>", ""))
    )


def _host_and_tag(texts: pl.Series) -> pl.DataFrame:
    """`host tag[pid]: body`, where the host may be missing or empty."""
    head = texts.str.splitn(": ", 2).struct.rename_fields(["head", "body"]).struct.unnest()
    text = pl.col("head").str.strip_suffix(":")
    spaced = text.str.contains(" ", literal=True)
    parts = text.str.splitn(" ", 2).struct
    tag = pl.when(spaced).then(parts.field("field_1")).otherwise(text)
    return head.select(
        pl.when(spaced).then(parts.field("field_0")).alias("hostname"),
        tag.str.splitn("[", 2).struct.field("field_0").alias("tag"),
        pl.col("body").fill_null(""),
    )


def _bare(texts: pl.Series) -> pl.DataFrame:
    return texts.str.extract_groups(_BSD_BARE).struct.unnest()


def _host(texts: pl.Series) -> pl.DataFrame:
    return texts.str.extract_groups(_HOST_ONLY).struct.unnest()


_HEADERS = (
    (_RFC5424, _rfc5424),
    (_BSD, _bsd),
    (_FILE, _file),
    (_HOST_ONLY, _host),
    (_BSD_BARE, _bare),
)


def _time(frame: pl.DataFrame, zone: str) -> pl.Series:
    """When the header was written; null without a stamp."""
    stamp = pl.col("stamp")
    iso = stamp.str.contains("T", literal=True).fill_null(False)
    return frame.select(
        pl.when(iso)
        .then(stamps.rfc3339(pl.when(iso).then(stamp)))
        .otherwise(stamps.rfc3164(pl.when(~iso).then(stamp), pl.col("received"), zone))
        .alias("time_dt")
    ).to_series()


def put_back(events: pl.DataFrame, header: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Events of the bodies with what their headers say added.

    The body knows better: header time and severity are used only where it gives none.
    """
    have = set(events.columns)
    added = {}
    untimed = events["time_dt"].is_null() if "time_dt" in have else None
    if untimed is None:
        added["time_dt"] = _time(header, zone)
    elif untimed.any():
        part = header.select("stamp", "received").with_columns(
            pl.when(untimed).then("stamp").alias("stamp")
        )
        added["time_dt"] = events["time_dt"].fill_null(_time(part, zone))
    if header["pri"].null_count() < header.height:
        severity = header.select(_severity("pri")).to_series()
        added["severity_id"] = (
            events["severity_id"].fill_null(severity) if "severity_id" in have else severity
        )
    if header["hostname"].null_count() < header.height:
        device = header.select("hostname").to_struct("device")
        if "device" in have:
            device = facts.put_back(events.select("device"), device.to_frame())["device"]
        added["device"] = device
    if header["structured_data"].null_count() < header.height:
        extra = header.select(
            json_object({"structured_data": pl.col("structured_data")})
        ).to_series()
        added["unmapped"] = (
            pl.select(joined(pl.lit(events["unmapped"]), pl.lit(extra))).to_series()
            if "unmapped" in have
            else extra
        )
    return events.with_columns(column.alias(name) for name, column in added.items())


def _severity(pri: str) -> pl.Expr:
    number = pl.col(pri).cast(pl.Int32, strict=False) % 8
    return number.replace_strict(ocsf.SYSLOG_SEVERITY, default=None, return_dtype=pl.Int32)
