r"""Access logs of Application Load Balancers.

    type time elb client:port target:port request_processing_time target_processing_time
    response_processing_time elb_status_code target_status_code received_bytes sent_bytes
    "request" "user_agent" ssl_cipher ssl_protocol target_group_arn "trace_id" "domain_name"
    "chosen_cert_arn" matched_rule_priority request_creation_time "actions_executed"
    "redirect_url" "error_reason" "target:port_list" "target_status_code_list"
    "classification" "classification_reason" conn_trace_id
    "transformed_host" "transformed_uri" "request_transform_status"

Fields were added at the end over the years, so older lines end earlier, and newer ones may go on:
what follows is kept in `unmapped`. In quoted fields a quote is `\x22`. The user agent and the trace
header are the client's own words; the fields around them are found from both sides.
"""

from __future__ import annotations

import polars as pl

from muniment.event import stamps
from muniment.event.access import http_events, with_unmapped
from muniment.event.aws.common import (
    CLIENT,
    COUNT,
    QUOTED,
    SECONDS,
    STATUS,
    TARGET,
    TIME,
    WORD,
    Field,
    endpoint,
    faulty,
    given,
    instant,
    node,
    number,
    plain,
    seconds,
    with_members,
)
from muniment.event.escapes import BACKSLASH
from muniment.event.request import split_request, url
from muniment.event.source import Context, merge

PRODUCT = "AWS ALB"

_TYPE = r"(?:https?|h2|grpcs?|wss?|[a-z][a-z0-9]{0,15})"
_ROOT = r"Root=([^;\"]+)"

_HEAD = (
    Field("type", _TYPE),
    Field("time", TIME),
    Field("elb", WORD),
    Field("client:port", CLIENT),
    Field("target:port", TARGET),
    Field("request_processing_time", SECONDS),
    Field("target_processing_time", SECONDS),
    Field("response_processing_time", SECONDS),
    Field("elb_status_code", STATUS),
    Field("target_status_code", STATUS),
    Field("received_bytes", COUNT),
    Field("sent_bytes", COUNT),
)
_FIELDS = (
    *_HEAD,
    Field("request", QUOTED),
    Field("user_agent", QUOTED),
    Field("ssl_cipher", WORD),
    Field("ssl_protocol", WORD),
    Field("target_group_arn", WORD),
    Field("trace_id", QUOTED),
    Field("domain_name", QUOTED),
    Field("chosen_cert_arn", QUOTED),
    Field("matched_rule_priority", r"(?:-?[0-9]+|-)"),
    Field("request_creation_time", TIME),
    Field("actions_executed", QUOTED),
    Field("redirect_url", QUOTED),
    Field("error_reason", QUOTED),
    Field("target:port_list", rf"(?:{QUOTED}|{WORD})"),
    Field("target_status_code_list", rf"(?:{QUOTED}|{WORD})"),
    Field("classification", QUOTED),
    Field("classification_reason", QUOTED),
)


STARTS = rf"^{_TYPE} {TIME} [A-Za-z][^ ]* {CLIENT} "

_BEFORE = " ".join(field.pattern for field in _HEAD)
_WHOLE = "^" + " ".join(field.pattern for field in _FIELDS[:25]) + rf"(?: {QUOTED}){{4}}(?: .*)?$"
_HEAD_NAMES = (
    *("type", "time", "elb", "client", "target", "before", "upstream_time", "after"),
    *("status", "target_status", "received", "sent"),
)
_QUOTED_NAMES = (
    *("request", "agent", "trace", "domain", "certificate", "actions", "redirect"),
    *("error", "targets", "statuses", "classification", "reason"),
)


def _pattern(agent: str, tail: str) -> str:
    """Returns a pattern that takes a line apart; what is inside `tail` may be missing."""
    head = zip(_HEAD_NAMES, _HEAD, strict=True)
    begin = " ".join(rf"(?P<{name}>{field.pattern})" for name, field in head)
    end = (
        rf' "(?P<domain>[^"]*)" "(?P<certificate>[^"]*)"{tail}'
        rf" (?P<priority>-?[0-9]+|-) (?P<created>{TIME})"
        rf' "(?P<actions>[^"]*)"{tail} "(?P<redirect>[^"]*)"{tail} "(?P<error>[^"]*)"{tail}'
        rf' (?P<targets>"[^"]*"|{WORD}) (?P<statuses>"[^"]*"|{WORD}){tail}'
        r' "(?P<classification>[^"]*)" "(?P<reason>[^"]*)"(?P<rest> .*)?'
    )
    parts = end.split(tail) if tail else [end]
    nested = parts[-1]
    for part in reversed(parts[:-1]):
        nested = f"{part}(?:{nested})?"
    nested = f"(?:{nested})?" if tail else nested
    return (
        rf'(?s)^{begin} "(?P<request>[^"]*)" "(?P<agent>{agent})" (?P<cipher>{WORD})'
        rf' (?P<protocol>{WORD}) (?P<group>{WORD})(?: "(?P<trace>[^"]*)"{nested})?$'
    )


_OLDER = _pattern('[^"]*', "\x00")
_ODD_AGENT = _pattern(".*", "")


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """HTTP Activity events of lines that match `STARTS`; those that do not fit say why."""
    current = lines.str.contains(_WHOLE)
    if current.all():
        return _events(_split(lines))
    older = ~current & lines.str.contains(_OLDER)
    odd = ~current & ~older & lines.str.contains(_ODD_AGENT)
    unread = ~current & ~older & ~odd
    parts = []
    for mask, read in ((current, _split), (older, _captured), (odd, _captured_odd)):
        if mask.any():
            parts.append((mask.arg_true(), _events(read(lines.filter(mask)))))
    if unread.any():
        frame = faulty("an ALB's access log", _FIELDS, lines.filter(unread))
        parts.append((unread.arg_true(), frame))
    return merge(parts, len(lines))


def _split(lines: pl.Series) -> pl.DataFrame:
    """A line at its quotes: they stand nowhere but around fields, the pattern has seen to that."""
    pieces = lines.str.splitn('"', 2 * len(_QUOTED_NAMES) + 1).struct.unnest()
    head = pieces["field_0"].str.splitn(" ", len(_HEAD_NAMES) + 1)
    tls = pieces["field_4"].str.splitn(" ", 5)
    rule = pieces["field_10"].str.splitn(" ", 4)
    columns = [head.struct.field(f"field_{i}").alias(n) for i, n in enumerate(_HEAD_NAMES)]
    columns += [pieces[f"field_{2 * i + 1}"].alias(n) for i, n in enumerate(_QUOTED_NAMES)]
    columns += [
        tls.struct.field(f"field_{i}").alias(n)
        for i, n in enumerate(("cipher", "protocol", "group"), 1)
    ]
    columns += [
        rule.struct.field(f"field_{i}").alias(n) for i, n in enumerate(("priority", "created"), 1)
    ]
    rest = pieces[f"field_{2 * len(_QUOTED_NAMES)}"]
    return pl.DataFrame([*columns, rest.replace("", None).alias("rest")])


def _captured(lines: pl.Series, pattern: str = _OLDER) -> pl.DataFrame:
    frame = lines.str.extract_groups(pattern).struct.unnest()
    return frame.with_columns(pl.col("targets", "statuses").str.strip_chars('"'))


def _captured_odd(lines: pl.Series) -> pl.DataFrame:
    return _captured(lines, _ODD_AGENT)


_REST = (
    r"^ (?P<connection>[^ \"]+)"
    r"(?: \"(?P<host>[^\"]*)\" \"(?P<uri>[^\"]*)\" \"(?P<transform>[^\"]*)\"(?: (?P<trailing>.+))?"
    r"| (?P<other>.+))?$"
)


def _events(raw: pl.DataFrame) -> pl.DataFrame:
    last = raw["rest"].str.extract_groups(_REST).struct.unnest()
    line = split_request(raw["request"], BACKSLASH)
    trace = plain(raw["trace"])
    targets, statuses = plain(raw["targets"]), plain(raw["statuses"])
    group = raw["group"].replace("-", None)
    flat = raw.with_columns(
        *line.with_columns(line["method"].replace("-", None)),
        *url(line["target"]),
        *endpoint(raw["client"], "client"),
        *endpoint(raw["target"], "server"),
        plain(raw["agent"]).alias("agent"),
        trace.str.extract(_ROOT).fill_null(trace).alias("trace_id"),
        plain(raw["domain"]).alias("tls_sni"),
        plain(raw["actions"]).alias("termination"),
        plain(raw["error"]).alias("upstream_error"),
        group.str.extract(r":targetgroup/([^/]+)/").fill_null(group).alias("backend"),
        _attempts(targets, statuses).alias("attempts"),
        last["trailing"].fill_null(last["other"]),
        *last.drop("trailing", "other"),
    )
    flat = _numbers(flat).with_columns(
        instant("time").alias("time_dt"),
        pl.col("elb").alias("frontend"),
        given("status").alias("status"),
        given("cipher").alias("tls_cipher"),
        given("protocol").alias("tls_version"),
        pl.when(pl.col("method").is_not_null() | (pl.col("request") != "- - - "))
        .then("request")
        .alias("message"),
    )
    events = http_events(with_unmapped(flat, _members(trace)), PRODUCT)
    connection = flat["connection"].replace("-", None)
    events = with_members(events, "connection_info", {"uid": connection})
    balancer = {"classification": plain(raw["classification"]), "ip": node(flat["trailing"])}
    return with_members(events, "load_balancer", balancer)


def _numbers(flat: pl.DataFrame) -> pl.DataFrame:
    phases = [seconds(name) for name in ("before", "upstream_time", "after")]
    return flat.with_columns(
        given("target_status").cast(pl.Int32, strict=False).alias("server_status"),
        number("received").alias("request_length"),
        number("received").alias("bytes_out"),
        number("sent").alias("response_length"),
        number("sent").alias("bytes_in"),
        stamps.milliseconds(phases[0] + phases[1] + phases[2]).alias("duration"),
        pl.struct(
            stamps.milliseconds(phase).alias(name)
            for name, phase in zip(("request", "upstream", "response"), phases, strict=True)
        ).alias("timings"),
    )


def _members(trace: pl.Series) -> dict[str, pl.Expr]:
    """What has no column, under AWS's names."""
    plainly_root = trace.str.contains(r"^Root=[^;]*$").fill_null(True)
    return {
        "type": pl.col("type"),
        "target_group_arn": given("group"),
        "trace": pl.lit(trace.set(plainly_root, None)),
        "chosen_cert_arn": given("certificate"),
        "matched_rule_priority": number("priority"),
        "request_creation_time": pl.col("created"),
        "redirect_url": given("redirect"),
        "classification_reason": given("reason"),
        "transformed_host": given("host"),
        "transformed_uri": given("uri"),
        "request_transform_status": given("transform"),
        "trailing": pl.col("trailing"),
    }


def _attempts(targets: pl.Series, statuses: pl.Series) -> pl.Series:
    """All targets that were tried, each with its status, where there is a list of them."""
    tried = pl.DataFrame({"target": targets.str.split(" "), "status": statuses.str.split(" ")})
    tried = tried.with_row_index("row").drop_nulls("target")
    same = pl.col("target").list.len() == pl.col("status").list.len()
    each = tried.with_columns(
        pl.when(same.fill_null(False))
        .then("status")
        .otherwise(pl.col("target").list.eval(pl.lit(None, pl.String)))
    ).explode("target", "status")
    ip, port = endpoint(each["target"], "ip")
    made = pl.DataFrame(
        {
            "row": each["row"],
            "code": each["status"].cast(pl.Int32, strict=False),
            "network_endpoint": pl.DataFrame({"ip": ip, "port": port}).to_struct(),
        }
    )
    grouped = made.group_by("row", maintain_order=True).agg(
        pl.struct("code", "network_endpoint").alias("attempts")
    )
    every = pl.DataFrame({"row": pl.int_range(len(targets), dtype=pl.UInt32, eager=True)})
    return every.join(grouped, on="row", how="left", maintain_order="left")["attempts"]
