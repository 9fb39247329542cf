"""Messages of Kubernetes components: klog's header, then text or structured text.

    I1120 23:08:16.123456       7 store.go:440] "Found valid IngressClass" ingress="default/web"

The stamp has neither year nor zone: the year is the one nearest to the receipt time.
"""

from __future__ import annotations

import re

import polars as pl

from muniment.event import stamps
from muniment.event.lifecycle import Activities, told
from muniment.event.logfmt import pairs, unquoted
from muniment.event.source import Context
from muniment.event.unmapped import json_object

STARTS = r"^[IWEF][01][0-9][0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{6} +[0-9]+ [^ \]]+\]"
_LINE = (
    r"(?s)^(?P<letter>[IWEF])(?P<month>[01][0-9])(?P<day>[0-3][0-9]) (?P<clock>[0-9:]{8})"
    r"\.(?P<micros>[0-9]{6}) +(?P<thread>[0-9]+) (?P<place>[^ \]]+)\] ?(?P<rest>.*)$"
)
_STRUCTURED = re.compile(r'("(?:[^"\\]|\\.)*+")(?: ([A-Za-z_][^\n]*))?\s*', re.DOTALL)
_MONTHS = dict(
    zip(
        (f"{number:02}" for number in range(1, 13)),
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
        strict=True,
    )
)
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}
_OBJECT = re.compile(
    r'v1\.ObjectReference\{Kind:"([^"]*)", Namespace:"([^"]*)", Name:"([^"]*)", UID:"([^"]*)"'
)
_NAMED = (("ingress", "Ingress"), ("secret", "Secret"), ("service", "Service"))
_RESOURCE = pl.Struct(dict.fromkeys(("name", "namespace", "type", "uid"), pl.String))


def parse(
    lines: pl.Series, context: Context, product: str, app: str, activities: Activities
) -> pl.DataFrame:
    """Application Lifecycle events of lines that match `STARTS`.

    An object that a message names is in `resources`.
    """
    frame = lines.str.extract_groups(_LINE).struct.unnest()
    said = [_said(text) for text in frame["rest"].fill_null("").to_list()]
    micros = pl.duration(microseconds=pl.col("micros").cast(pl.Int64, strict=False))
    month = pl.col("month").replace_strict(_MONTHS, default=None, return_dtype=pl.String)
    stamp = pl.concat_str(month, "day", "clock", separator=" ")
    frame = frame.with_columns(context.received.alias("received")).with_columns(
        pl.Series("message", [text for text, _ in said], dtype=pl.String),
        (stamps.rfc3164(stamp, pl.col("received"), context.zone) + micros).alias("time_dt"),
        pl.col("letter")
        .replace_strict(_LEVELS, default=None, return_dtype=pl.String)
        .alias("level"),
        pl.Series("fields", [_text(given) for _, given in said], dtype=pl.String),
        pl.lit(None, pl.String).alias("parse_error"),
    )
    frame = frame.with_columns(
        json_object({"place": pl.col("place"), "fields": pl.col("fields")}).alias("unmapped")
    )
    found = [_resources(text, given) for text, given in said]
    resources = pl.Series("resources", found, dtype=pl.List(_RESOURCE))
    return told(frame, product, app, activities).with_columns(resources)


def _said(rest: str) -> tuple[str, dict[str, str]]:
    """The message, and the pairs behind it where it is structured."""
    match = _STRUCTURED.fullmatch(rest)
    if match is None:
        return rest, {}
    given = pairs(match[2]) if match[2] else {}
    return (rest, {}) if given is None else (unquoted(match[1]), given)


def _text(given: dict[str, str]) -> str | None:
    return " ".join(f"{key}={value}" for key, value in given.items()) or None


def _resources(text: str, given: dict[str, str]) -> list[dict[str, str | None]] | None:
    found: list[dict[str, str | None]] = []
    for key, kind in _NAMED:
        if key in given:
            namespace, slash, name = given[key].partition("/")
            found.append(
                {
                    "name": name if slash else namespace,
                    "namespace": namespace if slash else None,
                    "type": kind,
                    "uid": None,
                }
            )
    match = _OBJECT.search(text[:4096])
    if match is not None:
        names = ("type", "namespace", "name", "uid")
        found.append({n: value or None for n, value in zip(names, match.groups(), strict=True)})
    return found or None
