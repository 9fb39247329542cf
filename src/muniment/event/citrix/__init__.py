"""Citrix (NetScaler) ADC: commands, logins, connections, TLS handshakes and states, by syslog.

     05/31/2024:06:05:23 GMT HA1 0-PPE-0 : default API CMD_EXECUTED 7825 0 :  User ann - ADM_User
     NONE - Remote_ip 10.0.0.9 - Command "add lb vserver web HTTP 10.1.0.1 80" - Status "Success"

The date is month first, day first or year first, as the appliance is set. Where it can be read in
two ways, the one within two days of the receipt counts, and else month first, as NetScaler does by
itself. A stamp without `GMT` is in the appliance's own zone: the context's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from muniment.event.acts_read import Audit, audit_events
from muniment.event.citrix import audit, connection
from muniment.event.source import Context, merge
from muniment.event.syslog_header import put_back, strip

_PRODUCT, _VENDOR = "NetScaler ADC", "Citrix"
_DATE = r"(?:[0-9]{2}/[0-9]{2}/[0-9]{4}|[0-9]{4}/[0-9]{2}/[0-9]{2}):[0-9]{2}:[0-9]{2}:[0-9]{2}"
_TAIL = r"(?:[^ ]+ )?(?:[A-Z][A-Z0-9_]* )[A-Z][A-Za-z0-9_]* [0-9]+ [0-9]+ : "
_FRONT = r"^ *(?:[A-Z][a-z]{2} +[0-9]{1,2} [0-9:]{8} )?(?:<[a-z0-9.]{1,32}> )?(?:[^ ]{1,255} )? *"
CERTAIN = rf"{_FRONT}{_DATE} (?:GMT |[A-Z]{{2,5}} )? ?[^ ]* ?[0-9]+-PPE-[0-9]+ : {_TAIL}"
_LINE = re.compile(
    rf"{_FRONT}(?P<stamp>{_DATE}) (?:(?P<zone>GMT|UTC|[A-Z]{{2,5}}) )? ?(?P<host>[^ ]*) ?"
    r"(?P<engine>[0-9]+-PPE-[0-9]+) : (?:(?P<partition>[^ ]+) )??(?P<feature>[A-Z][A-Z0-9_]*) "
    r"(?P<event>[A-Z][A-Za-z0-9_]*) (?P<number>[0-9]+) [0-9]+ : *(?P<rest>.*)",
    re.DOTALL,
)
_NEAR = timedelta(days=2)
_UNKNOWN = "no message of NetScaler that is known fits the line"


def looks_like(bodies: pl.Series) -> pl.Series:
    """Which lines (without header) can only be NetScaler's."""
    return bodies.str.contains(CERTAIN)


class Citrix:
    """The source `citrix`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        own = lines.str.extract(r"^<([0-9]{1,3})>")
        # `<134> 05/31/...` is no header that syslog knows; ns.log puts one of its own before.
        bare = lines.str.replace(r"^<[0-9]{1,3}>", "")
        certain = bare.str.contains(CERTAIN)
        header = strip(pl.select(pl.when(~certain).then(lines)).to_series().fill_null(""), context)
        header = header.with_columns(
            pl.when(pl.lit(certain)).then(pl.lit(bare)).otherwise("body").alias("body"),
            pl.when(pl.lit(certain)).then(pl.lit(own)).otherwise("pri").alias("pri"),
        )
        received, zone = context.received.to_list(), ZoneInfo(context.zone)
        connections: dict[int, connection.Connection] = {}
        audits: dict[int, Audit] = {}
        for row, line in enumerate(header["body"].to_list()):
            read = _read(line, received[row], zone)
            if isinstance(read, Audit):
                audits[row] = read
            else:
                connections[row] = read
        parts = []
        if connections:
            made = connection.events(list(connections.values()), _PRODUCT)
            parts.append((pl.Series(list(connections), dtype=pl.UInt32), made))
        if audits:
            told = audit_events(list(audits.values()), _PRODUCT, _VENDOR)
            parts.append((pl.Series(list(audits), dtype=pl.UInt32), told))
        return put_back(merge(parts, len(lines)), header, context.zone)


def _read(line: str, received: datetime | None, zone: ZoneInfo) -> Audit | connection.Connection:
    match = _LINE.fullmatch(line)
    if match is None:
        return Audit(line, fault=_UNKNOWN)
    feature, event, rest = match["feature"], match["event"], match["rest"].strip()
    known: dict[str, Any] = {
        "micros": _micros(match["stamp"], match["zone"], zone, received),
        "code": f"{feature} {event}",
        "host": match["host"] or None,
    }
    beside = {"engine": match["engine"], "partition": match["partition"]}
    if event == "CMD_EXECUTED":
        made = audit.command(rest, feature)
    elif event in connection.EVENTS:
        return connection.connection(event, rest) | known | {"beside": beside}
    elif event in ("LOGIN", "LOGOUT", "LOGIN_FAILED") or feature == "AAA":
        made = audit.login(event, rest)
    else:
        made = audit.message(event, rest)
    made.micros, made.code, made.host = known["micros"], known["code"], known["host"]
    made.rest = {**made.rest, **{key: value for key, value in beside.items() if value}}
    return made


def _micros(stamp: str, named: str | None, zone: ZoneInfo, received: datetime | None) -> int | None:
    """The instant of a stamp; null where it names a zone other than UTC."""
    if named not in (None, "GMT", "UTC"):
        return None
    where = zone if named is None else UTC
    day, _, clock = stamp.partition(":")
    layouts = ("%Y/%m/%d",) if day[4] == "/" else ("%m/%d/%Y", "%d/%m/%Y")
    read = []
    for layout in layouts:
        try:
            read.append(
                datetime.strptime(f"{day} {clock}", f"{layout} %H:%M:%S").replace(tzinfo=where)
            )
        except ValueError:
            continue
    if not read:
        return None
    now = received.astimezone(UTC) if received is not None else None
    near = [one for one in read if now is not None and abs(one - now) < _NEAR]
    best = near[0] if near else read[0]
    return int((best - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000


SOURCE = Citrix()
