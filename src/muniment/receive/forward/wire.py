"""msgpack as the forward protocol's receiver looks at it: where values begin and end, no more.

A str and a bin are both a text here, since senders use either. The spec is msgpack's
(https://github.com/msgpack/msgpack/blob/master/spec.md); the C library walks over whole values.
"""

from __future__ import annotations

from typing import NamedTuple

from msgpack import OutOfData, Unpacker
from msgpack.exceptions import UnpackException

from muniment.errors import InputError

_PIECE = 16 << 10
"""A skipper's unpacker is given so much at once: it keeps a buffer for each connection."""

_LENGTHS = {0xD9: 1, 0xC4: 1, 0xDA: 2, 0xC5: 2, 0xDB: 4, 0xC6: 4, 0xDC: 2, 0xDD: 4}
"""Bytes of the length after the first byte of a str, a bin or an array."""


class Span(NamedTuple):
    """Where what a header announces begins and ends."""

    begin: int
    end: int


def is_text(first: int) -> bool:
    """Whether a msgpack value that begins with this byte is a str or a bin."""
    return 0xA0 <= first <= 0xBF or first in (0xD9, 0xDA, 0xDB, 0xC4, 0xC5, 0xC6)


def is_array(first: int) -> bool:
    """Whether a msgpack value that begins with this byte is an array."""
    return 0x90 <= first <= 0x9F or first in (0xDC, 0xDD)


def text_span(data: bytes | bytearray, at: int = 0) -> Span | None:
    """Where the bytes of the str or bin at `at` stand; None where its header is not whole."""
    first = data[at]
    if first <= 0xBF:
        return Span(at + 1, at + 1 + (first & 0x1F))
    begin = at + 1 + _LENGTHS[first]
    if begin > len(data):
        return None
    return Span(begin, begin + int.from_bytes(data[at + 1 : begin], "big"))


def array_span(data: bytes | bytearray, at: int = 0) -> tuple[int, int] | None:
    """The count of the array at `at` and where its elements begin; None as in `text_span`."""
    first = data[at]
    if first <= 0x9F:
        return first & 0x0F, at + 1
    begin = at + 1 + _LENGTHS[first]
    if begin > len(data):
        return None
    return int.from_bytes(data[at + 1 : begin], "big"), begin


def text_of(element: bytes) -> bytes:
    """The bytes in a str or bin. Raises InputError for anything else."""
    span = text_span(element) if element and is_text(element[0]) else None
    if span is None or span.end != len(element):
        raise InputError("a text is expected where another value stands")
    return element[span.begin :]


def as_str(text: bytes) -> bytes:
    """The msgpack str of these bytes, which need not be UTF-8."""
    size = len(text)
    if size < 32:
        return bytes([0xA0 | size]) + text
    if size < 1 << 8:
        return bytes([0xD9, size]) + text
    return b"\xda" + size.to_bytes(2, "big") + text


class Skipper:
    """Passes over values of a buffer that grows at its end and is cut at its front.

    It remembers how far it came in a value that is not whole yet, so that no byte is looked at
    twice. What it holds beside the buffer is a few KiB, or the longest text in a skipped value.
    """

    def __init__(self) -> None:
        self._unpacker = _unpacker()
        self._fed = self._base = 0
        self._grown = False

    def skip(self, buffer: bytearray, at: int) -> int:
        """Returns where the value at `at` ends; -1 where it is not whole yet. Raises InputError."""
        self._seek(at)
        while True:
            try:
                self._unpacker.skip()
            except OutOfData:
                if self._fed == len(buffer):
                    return -1
                self._feed(buffer)
            except (UnpackException, ValueError) as error:
                raise InputError(f"not msgpack: {why(error)}") from None
            else:
                return self._place

    def drop(self, size: int) -> None:
        """The first `size` bytes of the buffer, which end between values, are gone."""
        self._seek(size)
        self._fed -= size
        self._base += size
        if self._grown:  # the buffer of an unpacker never shrinks
            self._unpacker = _unpacker()
            self._fed = self._base = 0
            self._grown = False

    @property
    def _place(self) -> int:
        """Where the unpacker stands in the buffer."""
        return int(self._unpacker.tell()) - self._base

    def _seek(self, at: int) -> None:
        """Goes on to `at`, without giving the unpacker what it need not see."""
        behind = min(at, self._fed) - self._place
        if behind > 0:
            self._unpacker.read_bytes(behind)
        if self._fed < at:
            self._fed, self._base = at, int(self._unpacker.tell()) - at

    def _feed(self, buffer: bytearray) -> None:
        with memoryview(buffer) as view:
            self._unpacker.feed(view[self._fed : self._fed + _PIECE])
        self._fed = min(self._fed + _PIECE, len(buffer))
        self._grown = self._grown or self._fed - self._place > 2 * _PIECE


def _unpacker() -> Unpacker:
    # What waits in it is part of the caller's buffer, which the caller bounds.
    return Unpacker(max_buffer_size=0, read_size=_PIECE)


def why(error: Exception) -> str:
    """Says in words what the library found."""
    return str(error) or {"StackError": "nested too deep"}.get(
        type(error).__name__, "bytes that no value begins with"
    )
