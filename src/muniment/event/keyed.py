"""Events of security devices: a header between bars, then pairs of keys and values (CEF, LEEF).

Both formats say the same things under different keys. One with a request method is HTTP Activity;
the others are Base Events, for neither format says what class an event is of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from muniment.event import ocsf, ocsf_columns
from muniment.event.objects import as_int
from muniment.event.request import url
from muniment.event.source import Context
from muniment.event.syslog_header import put_back, strip
from muniment.event.verbs import outcome_status

_UTC = pl.Datetime("us", "UTC")
_ENDPOINT = ("ip", "port", "hostname")
_SHAPE: Mapping[str, Mapping[str, Any]] = {
    "metadata": {
        "uid": "uid",
        "event_code": "code",
        "log_level": "level",
        "product": {"name": "product", "vendor_name": "vendor", "version": "version"},
    },
    "device": {"hostname": "device_host", "ip": "device_ip", "uid": "device_uid"},
    "actor": {
        "user": {"name": "user", "uid": "user_uid", "domain": "user_domain"},
        "process": {"name": "process", "pid": "pid"},
    },
    "user": {"name": "target", "uid": "target_uid", "domain": "target_domain"},
    "service": {"name": "service"},
    "src_endpoint": {name: f"src_{name}" for name in _ENDPOINT},
    "dst_endpoint": {name: f"dst_{name}" for name in _ENDPOINT},
    "connection_info": {"protocol_name": "protocol"},
    "http_request": {
        "http_method": "method",
        "url": {
            name: name
            for name in ("url_string", "scheme", "hostname", "port", "path", "query_string")
        },
        "user_agent": "agent",
        "referrer": "referrer",
    },
}
_PORTS = {"src_port", "dst_port"}
_WORDS = {
    "low": ocsf.LOW,
    "medium": ocsf.MEDIUM,
    "high": ocsf.HIGH,
    "very-high": ocsf.CRITICAL,
}
_LAYOUTS = (
    "%b %d %Y %H:%M:%S.%f %Z",
    "%b %d %Y %H:%M:%S %Z",
    "%b %d %Y %H:%M:%S.%f",
    "%b %d %Y %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S%z",
)
_LONGEST_STAMP = 64


@dataclass(slots=True)
class Device:
    """One event of a device: its header, and the pairs in their order; `fault` where it is none."""

    header: Mapping[str, str] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Devices:
    """A source of such lines, with or without a syslog header.

    `read` takes a line apart; `names` gives the field for each key that has one, `times` the keys
    of times, best first; what has no column is in `unmapped`.
    """

    read: Callable[[str], Device]
    names: Mapping[str, str]
    times: Sequence[str]

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        """See Source."""
        header = strip(lines, context)
        devices = [self.read(text) for text in header["body"].to_list()]
        events = _device_events(devices, self.names, self.times, context.zone)
        return put_back(events, header, context.zone)


def _device_events(
    devices: Sequence[Device], names: Mapping[str, str], times: Sequence[str], zone: str
) -> pl.DataFrame:
    """Events of devices, same height and order. Stamps without a zone are in `zone`."""
    fields = dict.fromkeys(("vendor", "product", "version", "code", "name", "severity"))
    fields |= dict.fromkeys(names.values())
    columns: dict[str, list[Any]] = {name: [] for name in (*fields, "time", "rest", "fault")}
    for one in devices:
        rest = dict(one.pairs)
        found: dict[str, Any] = {name: value or None for name, value in one.header.items()}
        for key, name in names.items():
            value = rest.get(key)
            if value and found.get(name) is None:
                found[name] = _number(value, name) if name in _PORTS or name == "pid" else value
                if found[name] is not None:
                    del rest[key]
        for name in fields:
            columns[name].append(found.get(name))
        columns["time"].append(_time(rest, times, zone))
        if found.get("message") and found.get("name"):
            rest["name"] = found["name"]
        columns["rest"].append(orjson.dumps(rest).decode() if rest else None)
        columns["fault"].append(one.fault)
    return _events(columns)


def _number(value: str, name: str) -> int | None:
    number = as_int(value)
    most = 2**31 if name in _PORTS else 2**63
    return number if number is not None and 0 <= number < most else None


def _time(rest: dict[str, str], keys: Sequence[str], zone: str) -> int | None:
    """The first time that can be read, taken out of `rest`; microseconds since the epoch."""
    for key in keys:
        stamp = rest.get(key)
        micros = None if stamp is None else _micros(stamp, zone)
        if micros is not None:
            del rest[key]
            return micros
    return None


def _micros(stamp: str, zone: str) -> int | None:
    number = as_int(stamp)
    if number is not None:  # milliseconds
        return number * 1000 if 0 <= number < 2**53 else None
    if len(stamp) > _LONGEST_STAMP:
        return None
    for layout in _LAYOUTS:
        try:
            read = datetime.strptime(stamp, layout)
        except ValueError:
            continue
        if read.tzinfo is None:
            # strptime takes the names of UTC, and of the zone of this machine, which it forgets.
            if layout.endswith("%Z") and not stamp.upper().endswith(("UTC", "GMT", " Z")):
                return None
            read = read.replace(tzinfo=UTC if layout.endswith("%Z") else ZoneInfo(zone))
        return int((read - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    return None


def severity(word: str | None) -> int | None:
    """severity_id of 0 to 10, or of a word."""
    number = None if word is None else as_int(word)
    if number is None:
        return None if word is None else _WORDS.get(word.lower())
    if not 0 <= number <= 10:
        return None
    if number <= 3:
        return ocsf.LOW
    return ocsf.MEDIUM if number <= 6 else ocsf.HIGH if number <= 8 else ocsf.CRITICAL


def _events(columns: dict[str, list[Any]]) -> pl.DataFrame:
    kinds = dict.fromkeys(_PORTS, pl.Int32) | {"pid": pl.Int64, "time": pl.Int64}
    flat = pl.DataFrame(
        {n: pl.Series(v, dtype=kinds.get(n, pl.String)) for n, v in columns.items()}
    )
    missing = ("method", "url_string", "message", "outcome", "action", "reason")
    flat = flat.with_columns(
        pl.lit(None, pl.String).alias(name) for name in missing if name not in flat.columns
    )
    flat = flat.with_columns(url(flat["url_string"])).with_columns(
        pl.Series("severity_id", [severity(w) for w in columns["severity"]], dtype=pl.Int32),
        pl.Series("status_id", [_status(w) for w in flat["outcome"]], dtype=pl.Int32),
        pl.col("severity").alias("level"),
    )
    http = pl.col("method").is_not_null()
    good = pl.col("fault").is_null()
    have = set(flat.columns)
    nested = {name: _build(shape, have) for name, shape in _SHAPE.items()}
    return flat.select(
        pl.when(http).then(ocsf.HTTP_ACTIVITY).cast(pl.Int32).alias("class_uid"),
        pl.when(http)
        .then(ocsf_columns.method_activity("method"))
        .cast(pl.Int32)
        .alias("activity_id"),
        pl.when(good).then("severity_id").alias("severity_id"),
        "status_id",
        pl.col("outcome").alias("status_code"),
        pl.coalesce("reason", "action").alias("status_detail"),
        pl.coalesce("message", "name").alias("message"),
        pl.col("time").cast(pl.Datetime("us")).cast(_UTC).alias("time_dt"),
        *(made.alias(name) for name, made in nested.items() if made is not None),
        pl.col("rest").alias("unmapped"),
        pl.col("fault").alias("parse_error"),
    )


def _status(outcome: str | None) -> int | None:
    return None if outcome is None else outcome_status(outcome)


def _build(shape: Any, have: set[str]) -> pl.Expr | None:
    if isinstance(shape, str):
        return pl.col(shape) if shape in have else None
    members = {name: _build(inner, have) for name, inner in shape.items()}
    given = [one.alias(name) for name, one in members.items() if one is not None]
    return pl.struct(given) if given else None
