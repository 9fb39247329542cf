r"""Envoy's access log as text: Envoy's default format and Istio's, of HTTP and of TCP.

    [start] "METHOD path PROTOCOL" code flags received sent duration upstream-time "forwarded-for"
    "user-agent" "request-id" "authority" "upstream"

Istio puts `details ended "failure-reason"` before the counts (`"mixer" "failure-reason"` before
1.9, at first `"mixer"` alone), and at the end `cluster upstream-local downstream-local
downstream-remote sni route`. Of TCP, what is HTTP's is `-` or empty.

Nothing is escaped, so a path, a user agent or an authority may hold quotes. A line whose quotes are
exactly those of a format can be read in one way only. Of any other, the counts are read where the
end of the request line occurs once, and the rest is left out.
"""

from __future__ import annotations

import polars as pl

from muniment.event.envoy_log import common
from muniment.event.source import Context, merge

_F = r'[^ "]*'
_N = r"[0-9]+|-|"
_HEAD = r'^(?:ACCESS )?\[(?P<start>[^\]]{1,64})\] "'
_CODE = rf"(?P<status>{_N}) (?P<flags>{_F}) "
_MIDDLE = (
    rf'(?:(?P<details>{_F}) (?:(?P<ended>{_F}) )?"(?P<reason>[^"]*)" '
    r'|"(?P<mixer>[^"]*)" (?:"(?P<failure>[^"]*)" )?)?'
)
_COUNTS = rf"(?P<received>{_N}) (?P<sent>{_N}) (?P<duration>{_N}) (?P<upstream_time>{_F}) "
_QUOTED = (
    r'"(?P<forwarded>[^"]*)" "(?P<agent>[^"]*)" "(?P<request_id>[^"]*)" "(?P<authority>[^"]*)" '
    r'"(?P<upstream>[^"]*)"'
)
_MESH = (
    rf"(?: (?P<cluster>{_F}) (?P<upstream_local>{_F}) (?P<local>{_F}) (?P<remote>{_F}) "
    rf"(?P<sni>{_F})(?: (?P<route>{_F}))?)?"
)
_REQUEST = rf'(?P<method>{_F}) (?P<target>[^"]*) (?P<protocol>{_F})" '
_WHOLE = rf'(?s){_HEAD}{_REQUEST}{_CODE}{_MIDDLE}{_COUNTS}{_QUOTED}{_MESH}(?P<trailing> [^"]*)?$'
_ENDED = r'(?: HTTP/[0-9](?:\.[0-9])?| -| )" (?:[0-9]+|-) [^ "]* '
_PART = (
    rf"(?s){_HEAD}(?P<method>{_F}) (?P<target>.*) (?P<protocol>HTTP/[0-9](?:\.[0-9])?|-|)\" {_CODE}"
    rf"(?:{_MIDDLE}{_COUNTS}\")?.*$"
)
_BARE = rf"(?s){_HEAD}(?P<method>[A-Z-]+) .*$"
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"

STARTS = r'^(?:ACCESS )?\[[^\]]{1,64}\] "'
CERTAIN = (
    rf'^(?:ACCESS )?\[{_ISO}[^\]]{{1,32}}\] "[^ "]* [^"]*" (?:[0-9]+|-) {_F} (?s:.*)"[^"]*"[^"]*$'
)
UNSURE = "the line ends before Envoy's format does, or a client's quotes stand in it"


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Events of lines that match `STARTS`; those not read in full carry a parse_error."""
    whole = lines.str.extract_groups(_WHOLE).struct.unnest()
    # Where no route follows, the server's name ends the line and may have been cut.
    last = pl.col("route").is_null()
    whole = whole.with_columns(
        pl.when(last).then("sni").alias("requested_server_name"),
        pl.when(~last).then("sni").alias("sni"),
        pl.col("trailing").str.strip_prefix(" "),
        (pl.col("reason").is_null() & pl.col("mixer").is_null()).alias("default_format"),
    )
    read = whole["start"].is_not_null()
    if read.all():
        return _events(whole, None)
    left = lines.filter(~read)
    parts = [((~read).arg_true(), _events(_part(left), UNSURE))]
    if read.any():
        parts.append((read.arg_true(), _events(whole.filter(read), None)))
    return merge(parts, len(lines))


def _part(lines: pl.Series) -> pl.DataFrame:
    """What is certain of lines that fit no format as a whole."""
    once = lines.str.count_matches(_ENDED) == 1
    some = pl.select(pl.when(once).then(lines)).to_series().str.extract_groups(_PART)
    frame, bare = some.struct.unnest(), lines.str.extract_groups(_BARE).struct.unnest()
    return frame.with_columns(frame[name].fill_null(bare[name]) for name in bare.columns)


def _events(frame: pl.DataFrame, fault: str | None) -> pl.DataFrame:
    counts = common.COUNTS
    frame = frame.with_columns(pl.coalesce("reason", "failure").alias("reason")).drop("failure")
    raw = frame.with_columns(
        pl.col(n).cast(pl.Int64, strict=False) if n in counts else common.nothing(frame[n])
        for n in frame.columns
        if n != "default_format"
    )
    # A request that is none is HTTP, too: it has a code, or a protocol.
    tcp = raw.select(
        pl.col("start").is_not_null()
        & pl.all_horizontal(pl.col("method", "target", "protocol").is_null())
        & (pl.col("status").is_null() | (pl.col("status") == "0"))
    ).to_series()
    if fault is not None:
        tcp &= raw["received"].is_not_null()
    faults = pl.select(pl.repeat(fault, raw.height, dtype=pl.String)).to_series()
    others = ("upstream_local", "mixer", "trailing", "requested_server_name")
    extra = {str(name): pl.col(name) for name in others if name in raw.columns}
    events = common.events(raw, extra, faults, tcp)
    if fault is None:
        return events
    known = raw["start"].is_not_null() & raw["method"].is_not_null() | tcp
    return events.with_columns(pl.when(pl.lit(known)).then("class_uid").alias("class_uid"))
