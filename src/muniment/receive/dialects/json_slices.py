"""JSON by slices: texts of many records become texts of one record each, byte for byte.

A JSON parser finds where members and elements begin and end; what is kept is what came, with its
spaces, its numbers as they were written, its unknown members and the ones that are there twice.
What the parser need not look into is checked for its form alone: strings that are no UTF-8, half
a surrogate pair, ten thousand brackets stay as they are, for one record that its reader will not
like is no reason to lose the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from muniment.errors import InputError
from muniment.receive.coding import Grow
from muniment.receive.protobuf import RECORD_COST

OBJECT, ARRAY = b"{", b"["
"""What an element begins with."""

_COUNTED_COST = 26
_ELEMENT_COST = 190
"""Bytes of memory of an element that is counted, and of one whose place is kept."""

MAX_DEPTH = 200
"""What is nested deeper is not looked at where a parser refuses the text."""

Span = tuple[int, int]
"""Where something stands in a text: its first byte, and the one after its last."""

Names = tuple[str, ...]
"""The names that a member may have, the first of them the usual one."""


class _Object(msgspec.Struct, gc=False):
    """Any JSON object, looked at but not kept."""


class _Array(msgspec.Struct, gc=False, array_like=True):
    """Any JSON array, looked at but not kept."""


_COUNT: dict[bytes, msgspec.json.Decoder[Any]] = {
    OBJECT: msgspec.json.Decoder(list[_Object]),
    ARRAY: msgspec.json.Decoder(list[_Array]),
}
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)

_FAULT_BYTE = re.compile(r"\(byte ([0-9]{1,12})\)")
_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class Document:
    """A whole JSON text; spans are places in `text`.

    Raises InputError where it is not JSON (RFC 8259); `grow` is told of memory before it is used.
    """

    def __init__(self, text: bytes, grow: Grow) -> None:
        self.text = text
        self._grow = grow
        self._lent = 0
        self._read = _readable(text, grow)
        self._view = memoryview(self._read)
        self._address = _address(self._read)
        start = len(text) - len(text.lstrip(b" \t\r\n"))
        self.whole: Span = (start, len(text.rstrip(b" \t\r\n")))

    def slice(self, span: Span) -> bytes:
        """Returns the bytes of a place as they came."""
        return self.text[span[0] : span[1]]

    def member(self, names: Names, span: Span) -> Span | None:
        """Returns where the value of an object's member stands; None where it is null or absent.

        Of a member that is there twice it is the last one, as parsers have it. Raises InputError
        where there is no object, or members of two of the names.
        """
        found = self._decode(_member_decoder(names), span)
        values = [raw for raw in msgspec.structs.astuple(found) if len(raw)]
        values = [raw for raw in values if bytes(memoryview(raw)[:4]) != b"null"]
        if not values:
            return None
        if len(values) > 1:
            raise InputError(f"{' and '.join(names)} are the same, and both are there")
        start = _address(values[0]) - self._address
        if start < 0 or not self._read.startswith(values[0], start):
            raise AssertionError("a Raw of msgspec is no view into what was decoded")
        return start, start + len(values[0])

    def elements(self, span: Span, opening: bytes = OBJECT) -> list[Span]:
        """Returns where the elements of an array stand.

        Raises InputError where there is no array, or an element is no object (or, with `ARRAY`,
        no array); TooLarge, Overloaded.
        """
        self._lend(_COUNTED_COST * (self._read.count(opening, *span) + 1))
        count = len(self._decode(_COUNT[opening], span))
        self._grow(count * _ELEMENT_COST)
        spans: list[Span] = []
        position = span[0] + 1
        for raw in self._decode(_ELEMENTS, span):
            start = self._read.index(opening, position)
            position = start + len(raw)
            spans.append((start, position))
        return spans

    def grow(self, amount: int) -> None:
        """Tells of memory. Raises TooLarge or Overloaded."""
        self._grow(amount)

    def _lend(self, amount: int) -> None:
        """Tells of memory that is free again before more is lent."""
        if amount > self._lent:
            self._grow(amount - self._lent)
            self._lent = amount

    def _decode(self, decoder: msgspec.json.Decoder[Any], span: Span) -> Any:
        try:
            return decoder.decode(self._view[span[0] : span[1]])
        except (msgspec.DecodeError, RecursionError) as error:
            line = self.text.count(b"\n", 0, span[0]) + 1
            raise InputError(f"not what is taken here: {error}", line=line) from None


def cut(body: bytes, path: Sequence[Names], grow: Grow, opening: bytes = OBJECT) -> list[bytes]:
    """Cuts a JSON object into objects with one record each.

    `path` is the way to the records: a member of the object that is an array of objects, a member
    of each of these, and so on; the elements of the last one are the records, objects or (with
    `ARRAY`) arrays. Each result is the text that came without the other records beside its own.
    Members that are absent or null have no records. Raises InputError, TooLarge, Overloaded.
    """
    document = Document(body, grow)
    records: list[bytes] = []
    _descend(document, document.whole, tuple(path), (b"", b""), opening, records)
    return records


def _descend(
    document: Document,
    span: Span,
    path: tuple[Names, ...],
    around: tuple[bytes, bytes],
    opening: bytes,
    records: list[bytes],
) -> None:
    found = document.member(path[0], span)
    if found is None:
        return
    spans = document.elements(found, OBJECT if len(path) > 1 else opening)
    if not spans:
        return
    copied = len(around[0]) + len(around[1]) + found[0] - span[0] + span[1] - found[1] + 2
    document.grow(2 * copied)
    before = around[0] + document.slice((span[0], found[0])) + b"["
    after = b"]" + document.slice((found[1], span[1])) + around[1]
    if len(path) > 1:
        for inner in spans:
            _descend(document, inner, path[1:], (before, after), opening, records)
        return
    document.grow(len(spans) * (RECORD_COST + copied) + found[1] - found[0])
    text = document.text
    records += [before + text[start:stop] + after for start, stop in spans]


def _readable(text: bytes, grow: Grow) -> bytes:
    """Returns the text as a parser takes it, every byte at its place.

    Halves of surrogate pairs, which programs leave that cut texts, are U+FFFD in it, and what is
    nested deeper than a parser goes is a number.
    """
    fault = _fault(text)
    if not fault:
        return text
    grow(2 * len(text))
    mended = bytearray(text)
    for found in _ESCAPE.finditer(text):
        if found["half"] is not None:
            mended[found.start() : found.end()] = rb"\ufffd"
    for start, stop in _deep(text):
        mended[start:stop] = b"0".ljust(stop - start)
    if _fault(mended):
        place = _FAULT_BYTE.search(fault)
        line = text.count(b"\n", 0, int(place[1]) if place else len(text)) + 1
        raise InputError(f"the body is not JSON: {fault}", line=line)
    return bytes(mended)


def _fault(text: bytes | bytearray) -> str:
    """Says what keeps a parser from reading a text; nothing where it can."""
    try:
        _ANYTHING.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return str(error)
    return ""


def _deep(text: bytes) -> Iterator[Span]:
    """Yields where arrays and objects stand that are at more than MAX_DEPTH."""
    depth = start = 0
    for found in _BRACKET.finditer(text):
        mark = found[0]
        if mark in (b"{", b"["):
            depth += 1
            if depth == MAX_DEPTH:
                start = found.start()
        elif mark in (b"}", b"]"):
            if depth == MAX_DEPTH:
                yield start, found.end()
            depth -= 1


@lru_cache(maxsize=64)
def _member_decoder(names: Names) -> msgspec.json.Decoder[Any]:
    fields = [
        (f"value{number}", msgspec.Raw, msgspec.field(default=msgspec.Raw(), name=name))
        for number, name in enumerate(names)
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Member", fields))


def _address(holder: bytes | msgspec.Raw) -> int:
    """Where the bytes of a holder lie: a Raw is a view into the text that it was found in."""
    return int(pa.py_buffer(holder).address)
