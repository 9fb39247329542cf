"""BIG-IP's request logging with the template of F5's documentation: `key="value",key="value"`.

    event_source="response_logging",hostname="bigip1",client_ip="10.0.0.9",server_ip="10.1.0.1",
    http_method="GET",http_uri="/a",virtual_name="/Common/vs1",http_statcode="200",
    event_timestamp="Sat, 21 Nov 2026 10:00:00 GMT",response_ms="5"

A client can write quotes into some of these values. Keys are read from the left as long as each
value ends where the next key begins, and a key that stands there twice is left out.
"""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from muniment.event.instants import instants
from muniment.event.requests_read import Request, request_events
from muniment.event.source import Context

PRODUCT = "BIG-IP"
# Before them, syslog without a tag leaves the host's name.
_HOST = r"^[A-Za-z0-9_.-]{1,255} "
PAIRS = (
    rf"(?:{_HOST}|^)(?:event_source|hostname|client_ip|http_method|virtual_name)="
    r'"[^"]*",[a-z_]+="'
)
CERTAIN = r'^event_source="(?:request|response)_logging",'
_PAIR = re.compile(r'([a-z_]+)="(.*?)"(?=,[a-z_]+="|\s*$)', re.DOTALL)
_NAMES = {
    "client_ip": "client_ip",
    "http_method": "method",
    "http_uri": "target",
    "http_host": "authority",
    "http_statcode": "status",
    "http_user_agent": "agent",
    "http_referer": "referrer",
    "http_version": "version",
    "virtual_name": "frontend",
    "virtual_pool_name": "backend",
    "pool_name": "backend",
    "server_ip": "server_ip",
    "user": "user",
    "http_username": "user",
}
_NUMBERS = {
    "client_port": "client_port",
    "server_port": "server_port",
    "response_size": "response_length",
    "request_size": "request_length",
    "response_ms": "duration",
}
_MOST_PAIRS = 64
_CUT = "the line ends within a value, or a client's quotes stand in it"


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """HTTP Activity events of lines that match `PAIRS`."""
    read = [_read(line) for line in lines.to_list()]
    events = request_events([request for request, _ in read], PRODUCT, "bigip")
    hosts = pl.DataFrame({"hostname": pl.Series([host for _, host in read], dtype=pl.String)})
    return events.with_columns(hosts.to_struct("device"))


def _read(line: str) -> tuple[Request, str | None]:
    given: dict[str, str] = {}
    twice: set[str] = set()
    line = re.sub(_HOST, "", line, count=1)
    at = 0
    for pair in _PAIR.finditer(line):
        if pair.start() != at or len(given) >= _MOST_PAIRS:
            break
        twice.update({pair[1]} & given.keys())
        given[pair[1]] = pair[2]
        at = pair.end() + 1
    whole = at >= len(line.rstrip())
    sure = {key: value for key, value in given.items() if key not in twice}
    host = sure.pop("hostname", None)
    flat: dict[str, Any] = {}
    for key, name in _NAMES.items():
        value = sure.pop(key, None)
        if value not in (None, "", "-"):
            flat.setdefault(name, value)
    for key, name in _NUMBERS.items():
        text = sure.get(key, "")
        if text.isascii() and text.isdecimal() and len(text) < 10:
            flat[name] = int(sure.pop(key))
    flat["micros"] = _time(sure)
    if "version" in flat:
        flat["version"] = flat["version"].removeprefix("HTTP/")
    fault = None if whole and not twice else _CUT
    return Request(flat, dict(sure), None, fault), host


def _time(sure: dict[str, str]) -> int | None:
    """`$DATE_HTTP` (RFC 9110) or RFC 3339."""
    text = sure.get("event_timestamp")
    if text is None:
        return None
    made = pl.Series([text]).str.strptime(
        pl.Datetime("us"), "%a, %d %b %Y %H:%M:%S GMT", strict=False
    )
    micros: int | None = made.dt.epoch("us").item()
    if micros is None:
        micros = instants([text]).dt.epoch("us").item()
    if micros is not None:
        del sure["event_timestamp"]
    return micros
