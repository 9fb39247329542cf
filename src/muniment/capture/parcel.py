"""Parcels: what the spool holds and what is sent; numbered records of one stream and one source.

    {"stream":"lb1/access","seq":1001,"count":500,"prev":"<64 hex>","as":"haproxy","about":{...}}\\n
    (uint32 length, big-endian || record) * count

`seq` is the number of the first record in its stream, from 1 and without gaps; `prev` is the head
of the stream's chain before the parcel (see `chain`); `about` says what is true of all records.
On the way a parcel is one zstd frame of the media type MEDIA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from muniment.capture.chain import payload_of
from muniment.errors import InputError

MEDIA = "application/vnd.muniment.parcel"
PATH = "/capture"

MAX_RECORD = (16 << 20) - (64 << 10)
"""Bytes of a record: a parcel of one fits into the body that a server takes by default."""

MAX_COUNT = 1 << 20
"""Records of a parcel."""

MAX_HEAD = 16 << 10
MAX_STREAM = 256
RECORD_COST = 100
"""Bytes of memory that a record costs beside its own."""

_STREAM = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}/[!-~]+", re.ASCII)
_SOURCE = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parcel:
    """Records `seq` to `seq + len(records) - 1` of a stream; `prev` is hex."""

    stream: str
    seq: int
    prev: str
    source: str
    records: Sequence[bytes]
    about: Mapping[str, str] = field(default_factory=dict)


def is_stream(name: str) -> bool:
    """Whether a name is that of a stream: AGENT/STREAM, printable ASCII, MAX_STREAM at most."""
    return len(name) <= MAX_STREAM and _STREAM.fullmatch(name) is not None


def encode(parcel: Parcel, payload: bytes | None = None) -> bytes:
    """Returns the bytes of a parcel, not compressed; `payload` is that of its records."""
    fields: dict[str, object] = {
        "stream": parcel.stream,
        "seq": parcel.seq,
        "count": len(parcel.records),
        "prev": parcel.prev,
        "as": parcel.source,
    }
    if parcel.about:
        fields["about"] = dict(parcel.about)
    head = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    return head + (payload_of(parcel.records) if payload is None else payload)


def decode(data: bytes, grow: Callable[[int], None] = lambda _: None) -> Parcel:
    """Reads a parcel; `grow` is told of the memory that its records take, before they take it.

    Raises InputError, and what `grow` raises. Members of the head that are not known are passed
    over. Whether `prev` is the right one is not for a reader to say.
    """
    end = data.find(b"\n", 0, MAX_HEAD)
    if end < 0:
        raise InputError("a parcel begins with a line of JSON")
    fields = _head(data[:end])
    count = _integer(fields, "count", 1, MAX_COUNT)
    if 4 * count > len(data) - end - 1:
        raise InputError(f"a parcel of {len(data):,} bytes cannot hold {count:,} records")
    grow(len(data) + RECORD_COST * count)
    return Parcel(
        _text(fields, "stream", is_stream),
        _integer(fields, "seq", 1, (1 << 63) - 1 - count),
        _text(fields, "prev", lambda value: _HEX.fullmatch(value) is not None),
        _text(fields, "as", lambda value: _SOURCE.fullmatch(value) is not None),
        _records(data, end + 1, count),
        _about(fields.get("about", {})),
    )


def _records(data: bytes, at: int, count: int) -> list[bytes]:
    records: list[bytes] = []
    for _ in range(count):
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "big")
        if begin > len(data) or at > len(data):
            raise InputError(f"the parcel ends within record {len(records) + 1:,} of {count:,}")
        records.append(data[begin:at])
    if at != len(data):
        raise InputError(f"{len(data) - at:,} bytes follow the last record of the parcel")
    return records


def _head(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the head of the parcel is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InputError("the head of the parcel is no JSON object")
    return fields


def _integer(fields: dict[str, Any], key: str, least: int, most: int) -> int:
    value = fields.get(key)
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"`{key}` of the parcel is no number from {least} to {most}")
    return value


def _text(fields: dict[str, Any], key: str, fits: Callable[[str], bool]) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not fits(value):
        raise InputError(f"`{key}` of the parcel cannot be taken: {str(value)[:80]!r}")
    return value


def _about(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise InputError("`about` of the parcel is no object of strings")
    return value
