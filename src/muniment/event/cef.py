"""ArcSight's Common Event Format, alone or after a syslog header.

    CEF:0|vendor|product|version|signature id|name|severity|key=value key=value

In the header `\\|` and `\\\\` are escaped, in values `\\=`, `\\\\`, `\\n` and `\\r`; a value may
hold spaces. Follows the Micro Focus CEF Implementation Standard, version 25 and below.
"""

from __future__ import annotations

import re

import polars as pl

from muniment.event.keyed import Device, Devices

_NAMES = {
    "msg": "message",
    "externalId": "uid",
    "src": "src_ip",
    "spt": "src_port",
    "shost": "src_hostname",
    "dst": "dst_ip",
    "dpt": "dst_port",
    "dhost": "dst_hostname",
    "suser": "user",
    "suid": "user_uid",
    "sntdom": "user_domain",
    "sproc": "process",
    "spid": "pid",
    "duser": "target",
    "duid": "target_uid",
    "dntdom": "target_domain",
    "destinationServiceName": "service",
    "dvchost": "device_host",
    "dvc": "device_ip",
    "deviceExternalId": "device_uid",
    "proto": "protocol",
    "act": "action",
    "outcome": "outcome",
    "reason": "reason",
    "request": "url_string",
    "requestMethod": "method",
    "requestClientApplication": "agent",
    "requestContext": "referrer",
}
_TIMES = ("rt", "start", "end")
_HEADER = ("vendor", "product", "version", "code", "name", "severity")
_START = re.compile(r"\s*(?:CEF: ?)?[0-9]+(?:\.[0-9]+)?\|")
_CELL = re.compile(r"((?:[^|\\]|\\.)*+)(\||$)", re.DOTALL)
_KEY = re.compile(r"(?:^|(?<=\s))([A-Za-z0-9_.\-\[\]]+)=")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r"}


def looks_like(lines: pl.Series) -> pl.Series:
    """Which lines (without header) can only be CEF."""
    return lines.str.contains(r"^\s*CEF: ?[0-9]")


def _read(text: str) -> Device:
    start = _START.match(text)
    if start is None:
        return Device(fault="the line is not CEF")
    cells: list[str] = []
    at = start.end()
    while len(cells) < len(_HEADER):
        cell = _CELL.match(text, at)
        if cell is None or (not cell[2] and len(cells) < len(_HEADER) - 1):
            return Device(fault="the CEF header has too few fields")
        cells.append(_ESCAPE.sub(r"\1", cell[1]))
        at = cell.end()
    return Device(dict(zip(_HEADER, cells, strict=True)), _pairs(text[at:]))


def _pairs(extension: str) -> dict[str, str]:
    """The values by key; of two with the same key the last one counts."""
    found: dict[str, str] = {}
    keys = list(_KEY.finditer(extension))
    for one, after in zip(keys, [*keys[1:], None], strict=False):
        end = len(extension) if after is None else after.start()
        value = extension[one.end() : end].rstrip()
        found[one[1]] = _ESCAPE.sub(_letter, value) if "\\" in value else value
    return found


def _letter(match: re.Match[str]) -> str:
    letter = match[1]
    if letter in _LETTERS:
        return _LETTERS[letter]
    return letter if letter in "\\=|" else match[0]


SOURCE = Devices(_read, _NAMES, _TIMES)
