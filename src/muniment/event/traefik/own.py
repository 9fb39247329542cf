"""What Traefik says about itself: logfmt (version 2), the console's form (version 3), JSON.

time="2021-12-08T09:16:05Z" level=info msg="Configuration loaded from file: /etc/traefik.yml"
2024-04-09T06:49:32Z INF Starting provider *docker.Provider providerName=docker
{"level":"info","providerName":"docker","time":"...","message":"..."}
"""

from __future__ import annotations

import re

import polars as pl

from muniment.event import ocsf
from muniment.event.lifecycle import Message, lifecycle_events
from muniment.event.logfmt import pairs
from muniment.event.objects import Object, as_text
from muniment.event.source import Context

PRODUCT, APP = "Traefik", "traefik"

_COLOUR = r"(?:\x1b\[[0-9;]*m)*"
_STAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_LEVEL = r"TRC|DBG|INF|WRN|ERR|FTL|PNC|\?\?\?"
CONSOLE = rf"^{_COLOUR}{_STAMP}{_COLOUR} {_COLOUR}(?:{_LEVEL}){_COLOUR}(?: |$)"
_LOGFMT = r'^time="[^"]*" level=[a-z]+ '
_PLUGIN = r"^(?:DEBUG|INFO|WARN|ERROR): [A-Za-z0-9_-]{1,64}: [0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8} "
STARTS = rf"{CONSOLE}|{_LOGFMT}|{_PLUGIN}"

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LINE = re.compile(rf"({_STAMP}) ({_LEVEL})(?: |$)(.*)", re.DOTALL)
_CALLER = re.compile(r"([^ ]{1,256}\.go:[0-9]{1,6}) > ")
_FIELDS = re.compile(r'(?: [A-Za-z_][A-Za-z0-9_.-]*=(?:"(?:[^"\\]|\\.)*+"|[^ "]++))++\Z')
_OF_PLUGIN = re.compile(
    r"([A-Z]+): ([^:]+): ([0-9]{4})/([0-9]{2})/([0-9]{2}) ([0-9:]{8}) (.*)", re.DOTALL
)
_LONGEST_TAIL = 8_192
_ACTIVITIES = (
    (r"^Traefik version .* built on|^Starting provider|^Starting server", ocsf.START),
    (r"^(?:Stopping server|Shutting down|I have to go|Server stopped)", ocsf.STOP),
    (
        r"^(?:Configuration received|Configuration loaded|Adding (?:route|certificate)|"
        r"Creating (?:middleware|router|service|server|load-balancer)|Added outgoing tracing)",
        ocsf.UPDATE,
    ),
)


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Application Lifecycle events of lines that match `STARTS`."""
    messages = [_read(_COLOURS.sub("", line)) for line in lines.to_list()]
    return lifecycle_events(messages, PRODUCT, APP, _ACTIVITIES)


def objects(rows: list[Object], why: pl.Series) -> pl.DataFrame:
    """Such events of decoded objects; `why` says what was wrong with their text."""
    messages = []
    for row, fault in zip(rows, why.to_list(), strict=True):
        rest = dict(row)
        text = rest.pop("message" if isinstance(rest.get("message"), str) else "msg", None)
        time, level = (as_text(rest.pop(name, None)) for name in ("time", "level"))
        messages.append(Message(as_text(text), time, level, rest, fault))
    return lifecycle_events(messages, PRODUCT, APP, _ACTIVITIES)


def _read(line: str) -> Message:
    console = _LINE.fullmatch(line)
    if console is not None:
        return _console(console[3], console[1], console[2])
    plugin = _OF_PLUGIN.fullmatch(line)
    if plugin is not None:
        stamp = f"{plugin[3]}-{plugin[4]}-{plugin[5]}T{plugin[6]}Z"
        return Message(plugin[7], stamp, plugin[1], {"plugin": plugin[2]})
    found = pairs(line)
    if found is None:
        return Message(line, fault="the line ends before its message does")
    said, time, level = (found.pop(name, None) for name in ("msg", "time", "level"))
    return Message(said, time, level, dict(found))


def _console(text: str, time: str, level: str) -> Message:
    """`[caller > ]message[ key=value]*`."""
    rest: Object = {}
    caller = _CALLER.match(text)
    if caller is not None:
        rest["caller"] = caller[1]
        text = text[caller.end() :]
    # Only the end can hold fields; a message that looks like one is in `raw_data` all the same.
    start = max(0, len(text) - _LONGEST_TAIL)
    tail = _FIELDS.search(text, start)
    if tail is not None:
        rest |= pairs(tail[0].strip()) or {}
        text = text[: tail.start()]
    return Message(text, time, level, rest)
