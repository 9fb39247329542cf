"""Events of the Fluentd forward protocol: msgpack `[tag, time, record]` of one record.

`time` is whole seconds or an EventTime; Fluent Bit may put metadata beside it, `[time, {…}]`. The
line of a program is in the record as `log` (tails, containers), `message` or `MESSAGE` (syslog,
journald). A record without any is an object of its own.

Follows the Forward Protocol Specification v1.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from math import isfinite
from struct import Struct
from typing import Any

import msgpack
import orjson
import polars as pl

from muniment.event.envelope import Envelope, Opened
from muniment.event.objects import Object
from muniment.event.records import add_record
from muniment.event.source import Context
from muniment.event.unpacking import Unpacked

_UNREADABLE = "no event of the forward protocol"
_EVENT_TIME = Struct(">II")
_BILLION = 1_000_000_000
_MAX_DEPTH = 64


class Forward(Envelope):
    """The source `forward`."""

    def render(self, raws: Sequence[bytes]) -> list[str | None]:
        """JSON of events, the time in seconds; None for what is no msgpack."""
        return [_rendered(raw) for raw in raws]

    def open(self, lines: pl.Series, context: Context) -> Opened:  # noqa: ARG002
        rows = Unpacked()
        for line in lines.to_list():
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                event = None
            _add(rows, event)
        return rows.opened()


def _add(rows: Unpacked, event: Any) -> None:
    if not isinstance(event, list) or len(event) < 3 or not isinstance(event[2], dict):
        rows.add(error=_UNREADABLE)
        return
    tag, time, record = event[0], event[1], event[2]
    rest: Object = {"tag": tag}
    if isinstance(time, list):
        if len(time) > 1 and time[1]:
            rest["metadata"] = time[1]
        time = time[0] if time else None
    options = event[3] if len(event) > 3 else None
    if options:
        rest["options"] = options
    parts = tag.split(".") if isinstance(tag, str) else ()
    add_record(rows, record, rest=rest, time=_micros(time), hints=parts)


def _micros(time: Any) -> int | None:
    if isinstance(time, bool) or not isinstance(time, int | float):
        return None
    return round(time * 1_000_000) if time > 0 else None


def _rendered(raw: bytes) -> str | None:
    try:
        value = msgpack.unpackb(
            raw, raw=True, strict_map_key=False, ext_hook=_extension, object_pairs_hook=_object
        )
        return orjson.dumps(_plain(value)).decode() if isinstance(value, list) else None
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None


def _object(pairs: list[tuple[Any, Any]]) -> Object:
    """Members by the text of their names; of two with the same name the last one stays."""
    return {_name(key): value for key, value in pairs}


def _name(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()


def _plain(value: Any, depth: int = 0) -> Any:
    """What JSON has for a value; text and bytes alike as text. Raises ValueError."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {key: _plain(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member, depth + 1) for member in value]
    if isinstance(value, msgpack.Timestamp):
        return _decimal(value.seconds, value.nanoseconds)
    return value


def _extension(code: int, data: bytes) -> Any:
    if code == 0 and len(data) == _EVENT_TIME.size:
        seconds, nanos = _EVENT_TIME.unpack(data)
        if nanos < _BILLION:
            return _decimal(seconds, nanos)
    return {"ext": code, "data": b64encode(data)}


def _decimal(seconds: int, nanos: int) -> Any:
    """A JSON number with all nine decimals, which no float has."""
    if seconds < 0:
        return {"seconds": seconds, "nanoseconds": nanos}
    return orjson.Fragment(b"%d.%09d" % (seconds, nanos))


SOURCE = Forward()
