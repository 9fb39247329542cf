"""Syslog over a stream (RFC 6587): where messages begin and end, whatever the bytes are.

Each message is looked at by itself: `<length> <message>` is octet counting, anything else ends at
the next newline. A number and a space are octet counting where a `<` follows, as in every RFC 3164
or 5424 message, or where the stream has begun with octet counting; else a line that happens to
begin with a number would swallow those after it. No bytes raise an error: what is no octet count
is a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_COUNT = 16 << 20
"""A larger octet count is none: the bytes are taken as a line."""

_COUNT = re.compile(rb"([1-9][0-9]{0,8}) ")
_COUNT_BEGUN = re.compile(rb"[1-9][0-9]{0,8}\Z")
_TRAILERS = (0x0A, 0x00)
_LESS = 0x3C


@dataclass(frozen=True, slots=True)
class Cut:
    """A message of which only `kept` bytes are there; `lost` more came, or were announced."""

    kept: int
    lost: int
    reason: str


class Framer:
    """Takes a stream apart. `limit` is the longest message that is kept whole, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._scanned = 0
        self._counted: bool | None = None
        self._head = b""
        self._lost = 0
        self._skip_octets = 0
        self._skip_line = False
        self._cuts: list[Cut] = []

    def take_cuts(self) -> list[Cut]:
        """Returns what was cut since the last call; the first part of each was given."""
        cuts, self._cuts = self._cuts, []
        return cuts

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the messages that `data` completes, without their framing."""
        messages: list[bytes] = []
        position = self._skip(data, messages)
        buffer = self._rest + data[position:] if self._rest else data
        position = 0 if self._rest else position
        length = len(buffer)
        while position < length:
            byte = buffer[position]
            if byte in _TRAILERS:
                position += 1
                continue
            end = self._count(buffer, position) if 0x31 <= byte <= 0x39 else -1
            if end == 0:
                break
            if end > 0:
                after = self._counted_message(buffer, position, end, messages)
            else:
                after = self._line(buffer, position, messages)
            if after < 0:
                break
            position = after
        self._rest = buffer[position:]
        return messages

    def close(self) -> list[bytes]:
        """Returns what is left when the stream ends: a last line, or a message cut short."""
        messages: list[bytes] = []
        rest, self._rest = self._rest, b""
        if self._skip_octets or self._skip_line:
            lost = self._lost + self._skip_octets
            self._end_cut(messages, lost, "the message is longer than an entry")
        elif rest:
            begin = self._count(rest, 0) if 0x31 <= rest[0] <= 0x39 else -1
            if begin > 0:
                kept = rest[begin:]
                lost = int(rest[: begin - 1]) - len(kept)
                self._cuts.append(Cut(len(kept), lost, "the stream ended inside the message"))
                messages += [kept] if kept else []
            else:
                messages.append(trimmed(rest))
        return messages

    def _count(self, buffer: bytes, start: int) -> int:
        """Where a counted message begins; 0 for not known yet, -1 for a line."""
        found = _COUNT.match(buffer, start, start + 10)
        if found is None:
            begun = _COUNT_BEGUN.match(buffer, start, start + 9)
            return 0 if begun and begun.end() == len(buffer) else -1
        if int(found[1]) > MAX_COUNT:
            return -1
        is_count = self._is_count(buffer, found.end())
        if is_count is None:
            return 0
        return found.end() if is_count else -1

    def _is_count(self, buffer: bytes, after: int) -> bool | None:
        """Whether the number before `after` counts octets; None while that is not known."""
        if self._counted is not False:
            return True
        if after == len(buffer):
            return None
        return buffer[after] == _LESS

    def _counted_message(self, buffer: bytes, start: int, begin: int, messages: list[bytes]) -> int:
        """Takes a counted message; returns where it ends, -1 where it is not whole yet."""
        if self._counted is None:
            self._counted = True
        count = int(buffer[start : begin - 1])
        end = begin + count
        if count <= self._limit:
            if end > len(buffer):
                return -1
            messages.append(trimmed(buffer[begin:end]))
            return end
        if len(buffer) - begin < self._limit:
            return -1
        self._head = buffer[begin : begin + self._limit]
        there = min(end, len(buffer))
        self._lost = there - begin - self._limit
        self._skip_octets = end - there
        if not self._skip_octets:
            self._end_cut(messages, self._lost, "the message is longer than an entry")
        return there

    def _line(self, buffer: bytes, start: int, messages: list[bytes]) -> int:
        """Takes a line; returns where the next message begins, -1 where it is not whole yet."""
        if self._counted is None:
            self._counted = False
        end = buffer.find(b"\n", max(start, self._scanned))
        self._scanned = 0
        there = len(buffer) if end < 0 else end
        if there - start > self._limit:
            self._head = buffer[start : start + self._limit]
            self._lost = there - start - self._limit
            if end < 0:
                self._skip_line = True
            else:
                self._end_cut(messages, self._lost, "the message is longer than an entry")
            return there
        if end < 0:
            self._scanned = len(buffer) - start
            return -1
        messages.append(trimmed(buffer[start:end]))
        return end + 1

    def _skip(self, data: bytes, messages: list[bytes]) -> int:
        """Passes over what is beyond the limit; returns where the next message begins."""
        if self._skip_octets:
            passed = min(self._skip_octets, len(data))
            self._skip_octets -= passed
            self._lost += passed
            if not self._skip_octets:
                self._end_cut(messages, self._lost, "the message is longer than an entry")
            return passed
        if self._skip_line:
            end = data.find(b"\n")
            there = len(data) if end < 0 else end
            self._lost += there
            if end >= 0:
                self._end_cut(messages, self._lost, "the message is longer than an entry")
            return there
        return 0

    def _end_cut(self, messages: list[bytes], lost: int, reason: str) -> None:
        messages.append(self._head)
        self._cuts.append(Cut(len(self._head), lost, reason))
        self._head, self._lost = b"", 0
        self._skip_octets, self._skip_line = 0, False


def trimmed(message: bytes) -> bytes:
    """Returns a message without the trailer that some senders put: NUL, newline, or both."""
    return message.removesuffix(b"\0").removesuffix(b"\n")
