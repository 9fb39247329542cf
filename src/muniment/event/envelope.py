"""Envelopes: what a shipper puts around the lines of others, and the way of those lines on.

Syslog, OTLP, Loki, Fluentd forward and the like carry lines that some other program wrote. A source
of such a protocol takes its envelope off a column of entries (`open`). The line inside goes to the
parser that is named for it, by the first of these that says one:

1. the path in `as`: `otlp/nginx`;
2. the hint in the envelope (tag, app, service name), where it is the name of a source;
3. the shape of the line: with a syslog header, HAProxy, NGINX, Traefik, Envoy, Caddy, Kong,
   BIG-IP, NetScaler, CEF, LEEF, a JSON object;
4. nothing: then the line is a Base Event with itself as the message, which is no parse error.

What the envelope knows then fills what the line does not tell.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import polars as pl

from muniment.event import caddy, cef, citrix, envoy_log, f5, haproxy, kong, leef, nginx, traefik
from muniment.event.facts import put_back
from muniment.event.guard import run
from muniment.event.source import Context, merge, sources
from muniment.event.structured import SOURCE as STRUCTURED
from muniment.event.syslog_header import STARTS
from muniment.event.text import plain


@dataclass(frozen=True, slots=True)
class Opened:
    """What a column of envelopes holds; all parts are as high as it, in its order.

    `body` (String) is the line inside, an object as its JSON text; null where there is none: the
    envelope is the event itself, is empty, or cannot be read. `facts` has any columns of `SCHEMA`;
    they count where the parser of the line gives null, structs member by member. For a null body
    they are the whole event; with a `parse_error` there, the envelope could not be read. `unmapped`
    in them is JSON text of an object. `hint` (String, may be null) says who wrote the line.
    """

    body: pl.Series
    facts: pl.DataFrame
    hint: pl.Series | None = None


class Envelope(ABC):
    """A source that holds the lines of others.

    A subclass says how the envelope is taken off; `SOURCE = Loki()` is then all that it takes.
    """

    takes_inner = True

    @abstractmethod
    def open(self, lines: pl.Series, context: Context) -> Opened:
        """Takes the envelope off lines, which are as `Source.parse` gets them."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        """Events of the lines inside, with what the envelopes know."""
        opened = self.open(lines, context)
        events = read(opened.body, opened.hint, context)
        return put_back(_with_unread_lines(events, opened.body), opened.facts)


_LONGEST_NAME = 64
_RECORD = r"(?s)^\{.*\"(?:log|message)\"\s*:\s*\".*\}$"
# Who is called so writes lines of its own, not the protocol of that name.
_NEVER_BY_HINT = frozenset(
    (
        "syslog",
        "text",
        "record",
        "json",
        "muniment",
        "otlp",
        "loki",
        "forward",
        "elastic",
        "splunk",
        "kubernetes",
        "cloudevents",
    )
)


# Programs by the beginning of what they are called.
_BEGINNINGS = {
    "haproxy": "haproxy",
    "nginx": "nginx",
    "ngx": "nginx",
    "traefik": "traefik",
    "istio-proxy": "envoy",
    "istio-ingressgateway": "envoy",
    "ingress-nginx": "ingress-nginx",
}


def _is_other(name: str) -> bool:
    return name in sources() and name not in _NEVER_BY_HINT


def names_source(hint: str) -> bool:
    """Whether a hint decides by which parser a line is read."""
    text = hint[:_LONGEST_NAME].lower()
    return text.startswith(tuple(_BEGINNINGS)) or _is_other(text)


def read(
    bodies: pl.Series, hints: pl.Series | None, context: Context, *, bare: bool = False
) -> pl.DataFrame:
    """Events of lines out of envelopes, each read by the parser that it belongs to; null for null.

    `context.inner` names the parser of all of them, `hints` (String) that of each. `bare` says that
    no line has a syslog header any more.
    """
    inner = context.inner
    there = bodies.is_not_null()
    if inner:
        whose = pl.select(pl.when(there).then(pl.lit(inner))).to_series()
    else:
        whose = _whose(hints, bodies, bare=bare)
        if not there.all():
            whose = pl.select(pl.when(there).then(whose)).to_series()
    parts = []
    for name in whose.drop_nulls().unique(maintain_order=True).to_list():
        rows = (whose == name).fill_null(False).arg_true()
        lines, part = bodies.gather(rows), replace(context.at(rows), inner="")
        made = run(name, lines, part) if inner else _parse(name, lines, part, bare=bare)
        parts.append((rows, made))
    return merge(parts, len(bodies))


def _with_unread_lines(events: pl.DataFrame, bodies: pl.Series) -> pl.DataFrame:
    """A line that its parser could not read is the message: better than all that is around it."""
    if "parse_error" not in events.columns:
        return events
    unread = events["parse_error"].is_not_null()
    if "class_uid" in events.columns:
        unread &= events["class_uid"].is_null()
    if not unread.any():
        return events
    lines = pl.select(pl.when(unread).then(bodies).alias("message"))
    return put_back(events, lines)


def _whose(hints: pl.Series | None, bodies: pl.Series, *, bare: bool) -> pl.Series:
    """The parser of each line: the name of a source, or empty for none."""
    if hints is None:
        return _by_shape(bodies, bare=bare)
    hint = hints.str.to_lowercase()
    others = [name for name in sources() if _is_other(name)]
    known = pl.select(pl.when(hint.is_in(others)).then(hint)).to_series()
    begun = [
        pl.when(pl.lit(hint.str.starts_with(beginning))).then(pl.lit(name))
        for beginning, name in _BEGINNINGS.items()
    ]
    by_hint = pl.select(pl.coalesce(pl.lit(known), *begun)).to_series()
    if by_hint.null_count() == 0:
        return by_hint
    unknown = pl.select(pl.when(by_hint.is_null()).then(bodies)).to_series()
    return by_hint.fill_null(_by_shape(unknown, bare=bare))


def _by_shape(lines: pl.Series, *, bare: bool) -> pl.Series:
    headed = pl.lit(False) if bare else lines.str.contains(STARTS)
    return pl.select(
        pl.when(headed)
        .then(pl.lit("syslog"))
        .when(haproxy.looks_like(lines))
        .then(pl.lit("haproxy"))
        .when(traefik.looks_like(lines))
        .then(pl.lit("traefik"))
        .when(nginx.looks_like(lines))
        .then(pl.lit("nginx"))
        .when(envoy_log.looks_like(lines))
        .then(pl.lit("envoy"))
        .when(caddy.looks_like(lines))
        .then(pl.lit("caddy"))
        .when(kong.looks_like(lines))
        .then(pl.lit("kong"))
        .when(f5.looks_like(lines))
        .then(pl.lit("f5"))
        .when(citrix.looks_like(lines))
        .then(pl.lit("citrix"))
        .when(_holds_access_line(lines))
        .then(pl.lit("record"))
        .when(lines.str.starts_with("{") & lines.str.ends_with("}"))
        .then(pl.lit("json"))
        .when(cef.looks_like(lines))
        .then(pl.lit("cef"))
        .when(leef.looks_like(lines))
        .then(pl.lit("leef"))
        .otherwise(pl.lit(""))
    ).to_series()


def _holds_access_line(lines: pl.Series) -> pl.Series:
    """Whether a line is an object in which a shipper put a line of HAProxy or NGINX."""
    objects = lines.str.contains(_RECORD)
    if not objects.any():
        return objects
    rows = pl.select(pl.when(objects).then(lines)).to_series()
    inner = [rows.str.json_path_match(f"$.{name}") for name in ("log", "message")]
    found = pl.select(pl.coalesce(inner)).to_series()
    return (haproxy.looks_like(found) | nginx.looks_like(found)).fill_null(False)


def _parse(name: str, lines: pl.Series, context: Context, *, bare: bool) -> pl.DataFrame:
    if not name:
        # The severity is the envelope's to say.
        return plain(lines).drop("severity_id")
    if name == "json":
        return STRUCTURED.parse(lines, context)
    if bare and name == "haproxy":
        return haproxy.parse_bodies(lines, context)
    if bare and name == "nginx":
        return nginx.parse_bodies(lines, context)
    return run(name, lines, context)
