"""The stream of the Fluentd forward protocol: msgpack arrays one after another, in any pieces.

Each message comes out as its elements, every one the bytes as they came; no object is built. What
an element announces is judged before it is there: a body beyond the limit costs no memory. Between
messages nil may stand, as a heartbeat.
"""

from __future__ import annotations

from itertools import pairwise

from muniment.errors import InputError, TooLarge
from muniment.receive.forward.wire import Skipper, array_span, is_array, is_text, text_span

MAX_ELEMENTS = 6
"""A PING has six elements, every other message fewer."""

MAX_TAG = 4_096
"""Bytes of a tag, which every entry repeats."""

_NIL, _NILS = 0xC0, b"\xc0"
_STRANGERS = {
    ord("{"): "JSON was sent: send msgpack",
    ord("["): "JSON was sent: send msgpack",
    ord("<"): "syslog was spoken",
    ord("G"): "HTTP was spoken",
    ord("P"): "HTTP was spoken",
    0x16: "TLS was spoken, which this listener does not speak",
}
"""What begins with these bytes, where no message does."""


class Messages:
    """Takes a stream apart. `limit` is the largest message in bytes; set it between messages."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._wanted = 0
        self._ends: list[int] = []
        self._skipper = Skipper()

    @property
    def held(self) -> int:
        """Bytes that are here and in no message yet."""
        return len(self._buffer)

    @property
    def inside(self) -> bool:
        """Whether the stream stands inside a message, and not between two."""
        return bool(self._buffer.strip(_NILS))

    def feed(self, data: bytes) -> None:
        """Takes bytes; ask `next` for the messages in them."""
        self._buffer += data

    def next(self) -> list[bytes] | None:
        """Returns the next message's elements; None where it is not whole yet.

        Raises InputError for what is no message and TooLarge beyond the limit; after that the
        stream cannot be taken up again.
        """
        buffer, ends = self._buffer, self._ends
        if not self._wanted and not self._begin():
            return None
        while len(ends) < self._wanted:
            end = self._element(ends[-1], len(ends) - 1)
            if (len(buffer) if end < 0 else end) > self.limit:
                raise TooLarge(f"a message of more than {self.limit:,} bytes")
            if not 0 < end <= len(buffer):
                return None
            ends.append(end)
        elements = [bytes(buffer[begin:end]) for begin, end in pairwise(ends)]
        self._drop(ends[-1])
        return elements

    def _begin(self) -> bool:
        """Reads the head of a message; False where it is not whole yet."""
        buffer = self._buffer
        if buffer and buffer[0] == _NIL:
            self._drop(len(buffer) - len(buffer.lstrip(_NILS)))
        if not buffer:
            return False
        if not is_array(buffer[0]):
            unknown = f"no message begins with the byte 0x{buffer[0]:02x}"
            raise InputError(_STRANGERS.get(buffer[0], unknown))
        found = array_span(buffer)
        if found is None:
            return False
        count, begin = found
        if not 2 <= count <= MAX_ELEMENTS:
            raise InputError(f"an array of {count:,} elements is no message")
        self._wanted = count + 1  # where the first one begins is in `_ends` too
        self._ends.append(begin)
        return True

    def _element(self, at: int, number: int) -> int:
        """Where the element at `at` ends, also beyond what is here; -1 where that is not known."""
        buffer = self._buffer
        if at >= len(buffer):
            return -1
        if number < 2 and is_text(buffer[at]):
            span = text_span(buffer, at)
            if span is not None and number == 0 and span.end - span.begin > MAX_TAG:
                raise TooLarge(f"a tag of more than {MAX_TAG:,} bytes")
            return -1 if span is None else span.end
        if number == 0:
            raise InputError("the tag is no text")
        return self._skipper.skip(buffer, at)

    def _drop(self, size: int) -> None:
        """Forgets the first bytes, which are done with."""
        self._skipper.drop(size)
        del self._buffer[:size]
        self._wanted = 0
        self._ends.clear()
