"""IBM's Log Event Extended Format 1.0 and 2.0, alone or after a syslog header.

    LEEF:1.0|vendor|product|version|event id|key=value<tab>key=value
    LEEF:2.0|vendor|product|version|event id|delimiter|key=value…

The delimiter of 2.0 is one character, or its code in hex (`x5E`, `0x5E`); it may be left out.
Follows the IBM QRadar LEEF guide.
"""

from __future__ import annotations

import re

import polars as pl

from muniment.event.keyed import Device, Devices

_NAMES = {
    "msg": "message",
    "src": "src_ip",
    "srcPort": "src_port",
    "dst": "dst_ip",
    "dstPort": "dst_port",
    "usrName": "user",
    "domain": "user_domain",
    "accountName": "target",
    "identHostName": "device_host",
    "resource": "service",
    "proto": "protocol",
    "action": "action",
    "outcome": "outcome",
    "reason": "reason",
    "url": "url_string",
    "method": "method",
    "userAgent": "agent",
    "sev": "severity",
}
_TIMES = ("devTime",)
_HEADER = ("vendor", "product", "version", "code")
_START = re.compile(r"\s*(?:LEEF: ?)?([0-9]+)(?:\.[0-9]+)?\|")
_CODE = re.compile(r"(?:0?[xX])([0-9A-Fa-f]{1,4})\Z")
_TAB = "\t"


def looks_like(lines: pl.Series) -> pl.Series:
    """Which lines (without header) can only be LEEF."""
    return lines.str.contains(r"^\s*LEEF: ?[0-9]")


def _read(text: str) -> Device:
    start = _START.match(text)
    if start is None:
        return Device(fault="the line is not LEEF")
    cells = text[start.end() :].split("|", len(_HEADER))
    if len(cells) < len(_HEADER):
        return Device(fault="the LEEF header has too few fields")
    rest = cells[len(_HEADER)] if len(cells) > len(_HEADER) else ""
    delimiter = _TAB
    if int(start[1][:9]) >= 2:
        given, bar, after = rest.partition("|")
        # Some senders of 2.0 leave the delimiter out, and the bar after it as well.
        if (bar and "=" not in given.strip()) or len(given) == 1:
            delimiter, rest = _delimiter(given), after
    return Device(dict(zip(_HEADER, cells, strict=False)), _pairs(rest, delimiter))


def _delimiter(given: str) -> str:
    code = _CODE.match(given)
    if code is not None:
        return chr(int(code[1], 16))
    return given if len(given) == 1 else _TAB


def _pairs(text: str, delimiter: str) -> dict[str, str]:
    """The values by key; a piece without a key goes on with the value before it."""
    found: dict[str, str] = {}
    last = ""
    for piece in text.split(delimiter):
        key, equals, value = piece.partition("=")
        if equals and key.strip():
            last = key.strip()
            found[last] = value
        elif last and piece:
            found[last] += delimiter + piece
    return found


SOURCE = Devices(_read, _NAMES, _TIMES)
