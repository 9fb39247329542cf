r"""Traefik's access log in its Common Log Format, and in the generic one.

    client - user [time] "METHOD path PROTOCOL" status size "referer" "agent"
    client - user [time] "METHOD path PROTOCOL" status size "referer" "agent" \
        count "router" "url" Nms

Before 1.7 an absent referer is `-` without quotes.

Nothing is escaped: a path, a referer or a user agent may hold quotes, and through HTTP/2 a path may
hold spaces. Router, URL and duration are Traefik's own words and end the line, so they are read
from the right end. What lies between is read where the end of the request line occurs once only;
else status, size, referer and agent may be the client's words and are left out.
"""

from __future__ import annotations

import polars as pl

from muniment.event import stamps
from muniment.event.access import http_events, with_unmapped
from muniment.event.administration import with_acts
from muniment.event.request import address, url
from muniment.event.source import Context
from muniment.event.traefik.api import SERVICE, acts

PRODUCT = "Traefik"
CUT_SHORT = "the line ends before its Traefik log format does"
UNSURE = "what follows the request may be the client's own words"

_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
_CLIENT = r"-|[^ \[\]\"{},]+(?:, ?[^ \[\]\"{},]+)*"
_HEAD = rf'^(?P<client>{_CLIENT}) - (?P<user>[^"]*) \[(?P<stamp>{_TIME}|-)\] "'
# The request line ends with its protocol; then come a status and a size.
_ENDED = r' (?:HTTP/[0-9](?:\.[0-9])?|-)" (?:[0-9]{1,3}|"?-"?) (?:[0-9]+|"?-"?) (?:"|- ")'
_OWN = r'(?P<count>[0-9]+|-) "(?P<router>[^"]*)" "(?P<service>[^"]*)" (?P<spent>-?[0-9]+)ms ?$'

STARTS = rf'^(?:{_CLIENT}) - [^"]* \[(?:{_TIME}|-)\] "'
WHOLE = rf'(?s){STARTS}.*" [0-9]+ "[^"]*" "[^"]*" -?[0-9]+ms ?$'

_LINE = rf"(?s){_HEAD}(?P<middle>.*) {_OWN}"
_GENERIC = rf"(?s){_HEAD}(?P<middle>.*)$"
_MIDDLE = (
    r'(?s)^(?P<method>[^ "]+) (?P<target>.*) (?:HTTP/(?P<version>[0-9](?:\.[0-9])?)|-)" '
    r'"?(?P<status>[0-9]{1,3}|-)"? "?(?P<body>[0-9]+|-)"? (?:"(?P<referrer>.*?)"|-) '
    r'"(?P<agent>.*)"$'
)
_CUT = (
    r'(?s)^(?P<method>[^ "]+) (?P<target>.*?)(?: (?:HTTP/(?P<version>[0-9](?:\.[0-9])?)|-)'
    r'(?P<closed>"(?: "?(?P<status>[0-9]{1,3}|-)"? "?(?P<body>[0-9]+|-)"? ".*|.*))?)?$'
)
_QUOTES = 5
"""Of the quotes of the generic format, those behind the one that begins the request."""


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Events of lines that match `STARTS`; one that ends early carries a parse_error."""
    whole = lines.str.extract_groups(_LINE).struct.unnest()
    short = whole["middle"].is_null()
    if short.any():
        generic = lines.str.extract_groups(_GENERIC).struct.unnest()
        whole = whole.with_columns(whole[n].fill_null(generic[n]) for n in generic.columns)
    frame = pl.concat([whole, _middle(whole["middle"], short)], how="horizontal")
    flat = _flat(frame.with_columns(short.alias("short")))
    # Without a router it is the generic format, or a line that was cut.
    events = http_events(with_unmapped(flat, _members()), PRODUCT)
    return with_acts(events, acts(flat), SERVICE)


def _middle(text: pl.Series, short: pl.Series) -> pl.DataFrame:
    """What stands between the time and what Traefik adds, as far as it is certain.

    Where `short` is true nothing was added: the agent ends the line, and a quote in it would look
    like what the full format has there.
    """
    once = text.str.count_matches(_ENDED) == 1
    whole = once & (~short | (text.str.count_matches('"', literal=True) == _QUOTES))
    sure = pl.select(pl.when(whole.fill_null(False)).then(text)).to_series()
    frame = sure.str.extract_groups(_MIDDLE).struct.unnest()
    left = frame["method"].is_null()
    if not left.any():
        return frame.with_columns(pl.lit(None, pl.String).alias("fault"))
    rest = pl.select(pl.when(left).then(text)).to_series().str.extract_groups(_CUT).struct.unnest()
    many = text.str.count_matches(_ENDED) > 1
    # A request line that no quote ends was cut within.
    exact = ~many & rest["closed"].is_not_null() & ~rest["target"].str.contains('"', literal=True)
    fault = pl.when(many).then(pl.lit(UNSURE)).otherwise(pl.lit(CUT_SHORT))
    return frame.with_columns(
        frame["method"].fill_null(rest["method"]),
        *(
            pl.when(exact).then(rest[name]).otherwise(name).alias(name)
            for name in ("target", "version", "status", "body")
        ),
        pl.when(left).then(fault).alias("fault"),
    )


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    ip, _, name = address(_with_port(frame["client"]), "client")
    listed = pl.col("client").str.contains(",", literal=True)
    server = frame["service"].str.extract(r"^[a-z0-9]+://([^/?#]+)")
    message = pl.concat_str(
        "method",
        "target",
        pl.concat_str(pl.lit("HTTP/"), "version"),
        separator=" ",
        ignore_nulls=True,
    )
    return frame.with_columns(
        *url(frame["target"]),
        ip,
        name,
        *address(_with_port(server), "server"),
    ).with_columns(
        stamps.zoned(pl.col("stamp"), "%d/%b/%Y:%H:%M:%S %z").alias("time_dt"),
        pl.when(~listed & (pl.col("client_ip") != "-")).then("client_ip").alias("client_ip"),
        pl.when(~listed).then(pl.col("client_name").replace("-", None)).alias("client_name"),
        pl.when(listed)
        .then(pl.col("client").str.replace_all(" ", "", literal=True))
        .str.split(",")
        .alias("forwarded"),
        message.replace("", None).alias("message"),
        *(
            pl.col(n).replace({"-": None, "": None})
            for n in ("user", "referrer", "agent", "status")
        ),
        pl.col("body").cast(pl.Int64, strict=False).alias("response_body"),
        pl.col("spent").cast(pl.Int64, strict=False).alias("duration"),
        pl.col("router").replace({"-": None, "": None}).alias("chain"),
        leaf("router").alias("frontend"),
        pl.when(pl.col("server_port") != 0).then("server_port").alias("server_port"),
        pl.col("server_name").alias("server"),
        pl.col("fault").alias("parse_error"),
    )


def leaf(router: str) -> pl.Expr:
    """The router that decided: the last one of a chain `a@docker -> b@docker`."""
    last = pl.col(router).str.split(" -> ").list.last()
    return last.replace({"-": None, "": None})


def _with_port(text: pl.Series) -> pl.Series:
    """Hosts with a port of 0 where they have none: an IPv6 address of Traefik's has no brackets."""
    bare = ~text.str.contains(r"^(?:[^:]+|\[.*\]):[0-9]{1,5}$")
    return pl.select(
        pl.when(bare).then(pl.concat_str([text, pl.lit(":0")])).otherwise(text)
    ).to_series()


def _members() -> dict[str, pl.Expr]:
    chained = pl.col("chain").str.contains(" -> ", literal=True)
    return {
        "RouterName": pl.when(chained).then("chain"),
        "RequestCount": pl.col("count").cast(pl.Int64, strict=False),
        "truncated": pl.when(pl.col("parse_error") == CUT_SHORT).then(True),
    }
