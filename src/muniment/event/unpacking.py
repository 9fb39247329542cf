"""Envelopes that are read one by one: what each holds, gathered into columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl

from muniment.event import ocsf
from muniment.event.envelope import Opened, names_source
from muniment.event.objects import Object, as_text, decode_object

_UTC = pl.Datetime("us", "UTC")
_INT64 = 2**63
_CRI = re.compile(
    r"(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9:]{5})) "
    r"(?P<stream>stdout|stderr) (?P<tag>[FP](?::[^ ]{0,32})?)(?: |$)",
    re.ASCII,
)
"""The prefix of the Kubernetes container runtime interface; the tag F ends a line, P does not."""
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(
    rf"\\(?:(?P<good>u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}|u(?![dD][89a-fA-F])|[^ux])"
    rf"|u[dD]{_HEX}{{3}}|x)",
    re.DOTALL,
)


class Unpacked:
    """Rows of `Opened`, added one by one in the order of the lines."""

    def __init__(self) -> None:
        self._bodies: list[str | None] = []
        self._hints: list[str | None] = []
        self._columns: dict[str, list[Any]] = {name: [] for name in _KINDS}

    def __len__(self) -> int:
        return len(self._bodies)

    def add(
        self,
        body: str | None = None,
        *,
        hint: str | None = None,
        time: int | None = None,
        severity: int | None = None,
        hostname: str | None = None,
        trace: str | None = None,
        level: str | None = None,
        code: str | None = None,
        product: str | None = None,
        rest: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Adds what one envelope holds.

        `time` is in microseconds since the epoch, `severity` OCSF's severity_id, `level` the
        severity as it was written, `code` the kind of event, `product` the program that wrote the
        line, `rest` what has no column. What a container runtime wrote before the line is taken
        off.
        """
        cri = _CRI.match(body) if body else None
        if cri is not None and body is not None:
            body, rest = body[cri.end() :] or None, {**(rest or {}), "container": cri.groupdict()}
        self._bodies.append(body)
        self._hints.append(hint)
        columns = self._columns
        sane = time is not None and -_INT64 <= time < _INT64
        columns["time"].append(time if sane else None)
        columns["severity"].append(severity)
        columns["hostname"].append(hostname)
        columns["trace"].append(trace)
        columns["level"].append(level)
        columns["code"].append(code)
        columns["product"].append(product)
        columns["rest"].append(orjson.dumps(rest).decode() if rest else None)
        columns["error"].append(error)

    def opened(self) -> Opened:
        """The rows that were added."""
        given = {
            name: pl.Series(name, self._columns[name], dtype=dtype)
            for name, dtype in _KINDS.items()
            if any(value is not None for value in self._columns[name])
        }
        return Opened(
            pl.Series("body", self._bodies, dtype=pl.String),
            _facts(pl.DataFrame(given), len(self)),
            pl.Series("hint", self._hints, dtype=pl.String),
        )


_KINDS: Mapping[str, pl.DataType] = {
    "time": pl.Int64(),
    "severity": pl.Int32(),
    "hostname": pl.String(),
    "trace": pl.String(),
    "level": pl.String(),
    "code": pl.String(),
    "product": pl.String(),
    "rest": pl.String(),
    "error": pl.String(),
}
_METADATA = {"correlation_uid": "trace", "log_level": "level", "event_code": "code"}


def _facts(given: pl.DataFrame, height: int) -> pl.DataFrame:
    """The columns of `SCHEMA` that the given ones fill."""
    have = set(given.columns)
    metadata = [pl.col(column).alias(name) for name, column in _METADATA.items() if column in have]
    if "product" in have:
        metadata.append(pl.struct(pl.col("product").alias("name")).alias("product"))
    columns = []
    if "time" in have:
        columns.append(pl.col("time").cast(pl.Datetime("us")).cast(_UTC).alias("time_dt"))
    for name, column in (
        ("severity_id", "severity"),
        ("unmapped", "rest"),
        ("parse_error", "error"),
    ):
        if column in have:
            columns.append(pl.col(column).alias(name))
    if "hostname" in have:
        columns.append(pl.struct("hostname").alias("device"))
    if metadata:
        columns.append(pl.struct(metadata).alias("metadata"))
    made = given.select(columns)
    if made.width:
        return made
    return pl.DataFrame({"parse_error": pl.Series([None] * height, dtype=pl.String)})


def object_of(line: str) -> Object | str:
    """The object of a line, or the reason why it has none.

    Bytes in it that were not UTF-8 stand there as `\\xNN`, and stay so in the texts of the object;
    so does `\\uNNNN` of half a surrogate pair, which is no character.
    """
    value = decode_object(line)
    if isinstance(value, str) and "\\" in line:
        mended = decode_object(_ESCAPE.sub(_mended, line))
        return value if isinstance(mended, str) else mended
    return value


def _mended(match: re.Match[str]) -> str:
    return match[0] if match["good"] else "\\" + match[0]


def severity_of(word: str) -> int | None:
    """severity_id of a level in words; None for a word that is not known."""
    return ocsf.SEVERITY_WORDS.get(word.lower())


def first_hint(*candidates: Any) -> str | None:
    """The first text that names a source; None where there is none."""
    for text in candidates:
        if isinstance(text, str) and names_source(text):
            return text
    return None


def first_text(members: Mapping[str, Any], *keys: str) -> str | None:
    """The first of these members that is a scalar, as text."""
    for key in keys:
        value = members.get(key)
        if value is not None and not isinstance(value, dict | list) and value != "":
            return as_text(value)
    return None
