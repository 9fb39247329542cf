"""HAProxy's own messages: servers and proxies that come, go and change.

They become Application Lifecycle events. `app.name` is what changed, as HAProxy names it (`web/w1`
for a server, `web` for a proxy); backend and server also stand where traffic has them, so that one
search finds both. HAProxy logs none of `set weight`, `set server addr`, `set maxconn`,
`add server` and `commit ssl cert`: their absence here proves nothing.
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf, ocsf_columns
from muniment.event.haproxy.common import PRODUCT
from muniment.event.source import Context

_ON_STDERR = (
    r"(?s)^\[(?P<level>NOTICE|WARNING|ALERT|EMERG|DIAG)\] *(?:[0-9/]+ )?\([0-9]+\) ?: (?P<text>.*)$"
)
_NAME = r"[A-Za-z0-9_.:-]+"
_SERVER = rf"^(?:Backup |backup )?[Ss]erver '?(?P<backend>{_NAME})/(?P<server>{_NAME})'? "
_CHECK = rf"^Health check for (?:backup |Backup )?server (?P<backend>{_NAME})/(?P<server>{_NAME}) "
_BY_CLI = rf"^'server (?P<backend>{_NAME})/(?P<server>{_NAME})' : "
_BY_DNS = rf"^(?P<backend>{_NAME})/(?P<server>{_NAME}) changed its (?:IP|FQDN|address) "
_PROXY = (
    rf"^(?:(?:Proxy|Frontend|Backend|proxy|backend|frontend) '?(?P<a>{_NAME})'? "
    r"(?:started|stopped|has no server|disabled|enabled|paused|failed|exceeded|reached|is )"
    r"|(?:Paused|Pausing|Resumed|Resuming|Stopping|Stopped|Enabled|Enabling|Disabled|Disabling|"
    r"Starting|Started)(?: disabled)? (?:frontend|backend|proxy|peers|log|sink) "
    rf"'?(?P<b>{_NAME}?)'?(?:\.?[ ,]|\.$))"
)
_PROCESS = (
    r"^(?:haproxy version|path to executable|New (?:worker|program)|Loading success|"
    r"Current worker|Former worker|Reexecuting|Exiting|All workers exited|config : |"
    r"Reloading HAProxy|Initializing new worker)"
)

_ABOUT_SERVERS = (_SERVER, _CHECK, _BY_CLI, _BY_DNS)
_MESSAGES = (*_ABOUT_SERVERS, _PROXY, _PROCESS)
_ACTIVITIES = (
    (
        r"(?:leaving|leaves) (?:forced )?(?:maintenance|drain)|READY"
        r"|[Ee]nabl(?:ed|ing)|[Rr]esum(?:ed|ing)",
        ocsf.ENABLE,
    ),
    (r"[Mm]aintenance|drain|[Pp]aus(?:ed|ing)|[Dd]isabl(?:ed|ing)", ocsf.DISABLE),
    (r"^Health check for ", ocsf.OTHER),
    (r" changed its | FQDN ", ocsf.UPDATE),
    (r" is DOWN| going DOWN| has no server|[Ss]topp(?:ed|ing)|[Ee]xit(?:ed|ing)", ocsf.STOP),
    (r" is UP| going UP|[Ss]tart(?:ed|ing)|New worker|Loading success", ocsf.START),
    (r"^Reexecuting|^Reloading", ocsf.RESTART),
    (r"New server registered", ocsf.INSTALL),
    (r"Server deleted", ocsf.REMOVE),
)
_LEVELS = {
    "NOTICE": ocsf.LOW,
    "DIAG": ocsf.INFORMATIONAL,
    "WARNING": ocsf.MEDIUM,
    "ALERT": ocsf.CRITICAL,
    "EMERG": ocsf.FATAL,
}


def without_prefix(lines: pl.Series) -> pl.DataFrame:
    """Lines as HAProxy writes them to stderr, `[LEVEL] (pid) : text`, as columns text and level."""
    parts = lines.str.extract_groups(_ON_STDERR).struct.unnest()
    text = parts["text"].fill_null(lines).str.strip_prefix("CLI : ")
    return pl.DataFrame({"text": text, "level": parts["level"]})


def is_known(lines: pl.Series) -> pl.Series:
    """Which lines are messages of HAProxy about itself."""
    known = lines.str.contains(_ON_STDERR)
    for pattern in _MESSAGES:
        known = known | lines.str.contains(pattern)
    return known


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Application Lifecycle events of lines for which `is_known` holds."""
    frame = without_prefix(lines)
    text = frame["text"]
    named = [text.str.extract_groups(p).struct for p in _ABOUT_SERVERS]
    proxy = text.str.extract_groups(_PROXY).struct
    frame = frame.with_columns(
        _first([part.field("backend") for part in named]).alias("backend"),
        _first([part.field("server") for part in named]).alias("server"),
        _first([proxy.field("a"), proxy.field("b")]).alias("proxy"),
    )
    frontend = pl.col("text").str.contains("(?i)frontend")
    activity = pl.lit(None, pl.Int32)
    for pattern, number in reversed(_ACTIVITIES):
        activity = pl.when(pl.col("text").str.contains(pattern)).then(number).otherwise(activity)
    whole_server = pl.concat_str(["backend", "server"], separator="/")
    return frame.select(
        pl.lit(ocsf.APPLICATION_LIFECYCLE, pl.Int32).alias("class_uid"),
        activity.fill_null(ocsf.OTHER).cast(pl.Int32).alias("activity_id"),
        ocsf_columns.lookup("level", _LEVELS, None).alias("severity_id"),
        pl.col("text").alias("message"),
        pl.struct(pl.coalesce(whole_server, "proxy", pl.lit("haproxy")).alias("name")).alias("app"),
        pl.struct(
            pl.when(frontend).then("proxy").alias("name"),
            pl.struct(
                pl.col("server").alias("name"),
                pl.coalesce("backend", pl.when(~frontend).then("proxy")).alias("svc_name"),
            ).alias("dst_endpoint"),
        ).alias("load_balancer"),
        pl.struct(
            pl.lit(ocsf.VERSION).alias("version"),
            pl.lit("state").alias("log_name"),
            pl.struct(pl.lit(PRODUCT).alias("name")).alias("product"),
        ).alias("metadata"),
    )


def _first(columns: list[pl.Series]) -> pl.Series:
    best = columns[0]
    for other in columns[1:]:
        best = best.fill_null(other)
    return best


_DEFAULT_SEVERITY = ((r" has no server ", ocsf.CRITICAL), (r" DOWN", ocsf.MEDIUM))


def default_severity(text: str) -> pl.Expr:
    """The severity of a message whose header names none, by what it says."""
    severity = pl.lit(ocsf.LOW, pl.Int32)
    for pattern, number in reversed(_DEFAULT_SEVERITY):
        severity = pl.when(pl.col(text).str.contains(pattern)).then(number).otherwise(severity)
    return severity.cast(pl.Int32)
