"""Texts of a log into columns of given types, as the `as` of a field says."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from muniment.event import ocsf, ocsf_columns, stamps
from muniment.event.instants import instants
from muniment.event.own.definition import Target
from muniment.event.request import host, split_request, url
from muniment.event.verbs import outcome_status

_TO_MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
_GO = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ns|us|µs|μs|ms|s|m|h)")
_GO_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 36e5}
_TRUE = {"true": True, "yes": True, "on": True, "1": True}
_FALSE = {"false": False, "no": False, "off": False, "0": False}
_NUMBER = r"^\s*-?[0-9]+(?:\.[0-9]+)?\s*$"


def convert(text: pl.Series, target: Target, zone: str) -> dict[str, pl.Series]:
    """The columns that a text fills, by path; null where it is no such value."""
    if target.map is not None:
        return {target.to: _mapped(text, target)}
    match target.kind:
        case "url":
            return {f"http_request.url.{part.name}": part for part in url(text).get_columns()}
        case "request":
            return _request(text)
        case "address":
            ip, port, name = host(text, "a")
            paths = {"ip": ip, "port": port, "name": name}
            return {f"{target.to}.{part}": column for part, column in paths.items()}
    return {target.to: _value(text, target, zone)}


def _value(text: pl.Series, target: Target, zone: str) -> pl.Series:
    frame = pl.DataFrame({"t": text})
    t = pl.col("t")
    match target.kind:
        case "text":
            return text
        case "integer":
            return frame.select(t.str.strip_chars().cast(pl.Int64, strict=False)).to_series()
        case "boolean":
            words = t.str.to_lowercase()
            found = words.replace_strict(_TRUE | _FALSE, default=None, return_dtype=pl.Boolean)
            return frame.select(found).to_series()
        case "list":
            parts = t.str.split(target.separator).list.eval(pl.element().str.strip_chars())
            return frame.select(parts).to_series()
        case "time":
            return _time(text, target, zone)
        case "status":
            return _each(text, outcome_status)
        case "severity":
            lower = frame.select(t.str.to_lowercase())
            return lower.select(ocsf_columns.lookup("t", ocsf.SEVERITY_WORDS, None)).to_series()
        case "duration":
            return _each(text, go_milliseconds)
        case unit:
            number = pl.when(t.str.contains(_NUMBER)).then(t.str.strip_chars())
            scaled = number.cast(pl.Float64, strict=False) * _TO_MS[unit]
            return frame.select(scaled.floor().cast(pl.Int64, strict=False)).to_series()


def _mapped(text: pl.Series, target: Target) -> pl.Series:
    assert target.map is not None
    dtype = pl.String if target.kind == "text" else pl.Int64
    table: Mapping[str, object] = target.map
    found = pl.col("t").replace_strict(table, default=target.default, return_dtype=dtype)
    frame = pl.DataFrame({"t": text})
    return frame.select(pl.when(pl.col("t").is_not_null()).then(found)).to_series()


def _each(text: pl.Series, read: object) -> pl.Series:
    assert callable(read)
    made = [None if one is None else read(one) for one in text.to_list()]
    return pl.Series(made, dtype=pl.Int64)


def go_milliseconds(text: str) -> int | None:
    """A duration as Go writes it: `1.5s`, `350ms`, `1m2s`."""
    parts = _GO.findall(text[:64])
    if not parts or "".join(number + unit for number, unit in parts) != text.lstrip("+"):
        return None
    return int(sum(float(number) * _GO_MS[unit] for number, unit in parts))


def _time(text: pl.Series, target: Target, zone: str) -> pl.Series:
    """By the strptime layout; without one RFC 3339, or a number since the epoch."""
    if target.format is None:
        return instants(text.to_list())
    frame = pl.DataFrame({"t": text})
    if re.search(r"%(?:z|:z|#z|\+|s)", target.format):
        return frame.select(stamps.zoned(pl.col("t"), target.format)).to_series()
    here = target.zone or zone
    return frame.select(stamps.local(pl.col("t"), target.format, here)).to_series()


def _request(text: pl.Series) -> dict[str, pl.Series]:
    line = split_request(text, None)
    parts = {f"http_request.url.{part.name}": part for part in url(line["target"]).get_columns()}
    return {
        "http_request.http_method": line["method"],
        "http_request.version": line["version"],
        **parts,
    }
