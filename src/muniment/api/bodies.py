"""From the bytes of a request to chunks of entries: media types taken apart.

Everything here is bounded before it is done: a body that unpacks to more than its limit, a line
that is longer than an entry, a million tiny elements are refused before they cost memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial

import msgspec
import orjson

from muniment import kernel
from muniment.budget import Hold
from muniment.errors import InputError, TooLarge, UnsupportedMedia
from muniment.kernel import MAX_ENTRY_BYTES, Chunk

_LINE_COST = 75
"""Bytes of memory that a line costs beside its own and its header's."""

_ELEMENT_COST = 160
"""Bytes of memory that an element of a JSON array costs beside its own and its header's."""


class Media(Enum):
    """The media types that can be written."""

    TEXT = "text/plain"
    LINES = "application/x-ndjson"
    JSON = "application/json"
    BYTES = "application/octet-stream"

    @property
    def source(self) -> str:
        """The source type of entries whose sender names none."""
        return "json" if self in (Media.LINES, Media.JSON) else "text"

    @classmethod
    def of(cls, content_type: str | None) -> Media:
        """Reads a Content-Type; parameters do not matter. Raises UnsupportedMedia."""
        name = (content_type or "").partition(";")[0].strip().lower()
        try:
            return cls(name)
        except ValueError:
            raise UnsupportedMedia(
                f"the content type {name[:80]!r} is not taken" if name else "no content type",
                advice="send one of " + ", ".join(media.value for media in cls),
            ) from None


def pack(media: Media, body: bytes, header: bytes, hold: Hold) -> list[Chunk]:
    """Returns the entries of a body, packed; `hold` grows to what that takes.

    Raises InputError naming the line, TooLarge, Overloaded.
    """
    if not body:
        raise InputError("the body is empty", advice="send at least one entry")
    if media is Media.TEXT:
        _hold_lines(body, header, hold)
        return kernel.pack_lines(body, header)
    if media is Media.LINES:
        _check_line_lengths(body)
        _hold_lines(body, header, hold)
        return kernel.pack_json_lines(body, header)
    if media is Media.JSON:
        return _pack_json(body, header, hold)
    hold.grow_to(2 * len(body) + len(header))
    return kernel.pack_records([body], header)


def _hold_lines(body: bytes, header: bytes, hold: Hold) -> None:
    lines = body.count(b"\n") + 1
    hold.grow_to(2 * len(body) + lines * (len(header) + _LINE_COST))


def _check_line_lengths(body: bytes) -> None:
    """Refuses a line that no entry can hold before a JSON parser makes objects of it."""
    start, end = 0, len(body)
    while end - start > MAX_ENTRY_BYTES:
        stop = body.rfind(b"\n", start, start + MAX_ENTRY_BYTES + 1)
        if stop < 0:
            raise _too_long("the line is", body.count(b"\n", 0, start) + 1)
        start = stop + 1


def _too_long(what: str, line: int) -> TooLarge:
    return TooLarge(
        f"{what} longer than the {MAX_ENTRY_BYTES:,} bytes of an entry",
        line=line,
        advice="split the record, or send it as an attachment",
    )


def _pack_json(body: bytes, header: bytes, hold: Hold) -> list[Chunk]:
    """One object, kept as it arrived, or an array whose elements are kept as they stand in it."""
    begins = body.lstrip(b" \t\r\n")[:1]
    if begins != b"[":
        if len(body) > MAX_ENTRY_BYTES:
            raise _too_long("the object is", 1)
        _check_object(body, lambda: (1, 0))
        return kernel.pack_records([body], header)
    hold.grow_to(3 * len(body) + (body.count(b",") + 1) * (len(header) + _ELEMENT_COST))
    elements = _elements(body)
    if not elements:
        raise InputError("the array is empty", advice="send at least one object")
    for number, element in enumerate(elements):
        if len(element) > MAX_ENTRY_BYTES:
            raise _too_long(f"element {number + 1} is", _place(body, elements, number)[0])
        _check_object(element, partial(_place, body, elements, number))
    return kernel.pack_records(elements, header)


_FAULT_BYTE = re.compile(r"\(byte ([0-9]{1,12})\)")
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


def _elements(body: bytes) -> list[bytes]:
    """Returns the bytes of an array's elements, unchecked: Raw lets invalid UTF-8 through."""
    try:
        return [bytes(raw) for raw in _ARRAY.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        line = _fault_line(body, str(error))
        raise InputError(f"not a JSON array: {error}", line=line) from None


def _fault_line(body: bytes, fault: str) -> int:
    """Returns the line of the byte that a fault names; the last one where the text is too short."""
    found = _FAULT_BYTE.search(fault)
    return body.count(b"\n", 0, int(found[1]) if found else len(body)) + 1


Place = Callable[[], tuple[int, int]]
"""Gives the line of the body at which a text begins, and the number of its element (from 1)."""


def _check_object(text: bytes, place: Place) -> None:
    """Raises InputError unless `text` is one JSON object (RFC 8259, UTF-8)."""
    try:
        if type(orjson.loads(text)) is dict:
            return
        lines, fault = 0, "a JSON value that is not an object"
    except orjson.JSONDecodeError as error:
        lines, fault = error.lineno - 1, f"not JSON: {error.msg} at column {error.colno}"
    line, number = place()
    raise InputError(
        f"element {number}: {fault}" if number else fault,
        line=line + lines,
        advice="send one JSON object, or an array of objects",
    )


def _place(body: bytes, elements: Sequence[bytes], number: int) -> tuple[int, int]:
    offset = 0
    for element in elements[: number + 1]:
        start = body.index(element, offset)
        offset = start + len(element)
    return body.count(b"\n", 0, start) + 1, number + 1
