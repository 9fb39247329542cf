"""Cuts a stream of bytes into batches of whole lines. Pure: no file, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BATCH_BYTES = 1 << 20
"""A batch is closed by the line that would exceed this."""

BATCH_LINES = 16_384
"""Lines of a batch, so that very short lines do not make a very large batch on the server."""

MAX_LINE_BYTES = 65_535
"""No longer line can be an entry (C2SP tlog-tiles); the receipt header takes part of it."""

READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines `line` to `line + lines - 1` (from 1), which stand at bytes `offset` to `end`."""

    offset: int
    line: int
    body: bytes

    @property
    def end(self) -> int:
        """The byte after the last one."""
        return self.offset + len(self.body)

    @property
    def lines(self) -> int:
        """How many lines; the last one may lack its newline."""
        return self.body.count(b"\n") + (not self.body.endswith(b"\n"))

    def split(self, count: int) -> tuple[Piece | None, Piece | None]:
        """Returns the first `count` lines, and the rest; None for a part without lines."""
        at = 0
        for _ in range(count):
            at = self.body.find(b"\n", at) + 1
            if at == 0:
                return self, None
        head = Piece(self.offset, self.line, self.body[:at]) if at else None
        rest = self.body[at:]
        return head, Piece(self.offset + at, self.line + count, rest) if rest else None


@dataclass(frozen=True, slots=True)
class Oversized:
    """A line that no entry can hold; `length` is in bytes, without the newline."""

    offset: int
    end: int
    line: int
    length: int


class Cutter:
    """Gives pieces of a stream in order; memory is bounded by one batch and one read.

    `read(n)` returns at most n bytes: none at the end, None where there are none for now, and then
    the lines that are whole are given. Every byte of the stream is in one piece.
    """

    def __init__(
        self,
        read: Callable[[int], bytes | None],
        *,
        offset: int = 0,
        line: int = 1,
        batch_bytes: int = BATCH_BYTES,
        batch_lines: int = BATCH_LINES,
        max_line: int = MAX_LINE_BYTES,
    ) -> None:
        self._read = read
        self._buffer = b""
        self._ended = False
        self.offset = offset
        self.line = line
        self.batch_bytes = batch_bytes
        self._batch_lines = batch_lines
        self._max_line = max_line

    def next(self) -> Piece | Oversized | None:
        """Returns the next piece, or None at the end of the stream."""
        self._fill(self.batch_bytes)
        if not self._buffer:
            return None
        body: bytes | None = self._whole_lines(self.batch_bytes)
        if not body:
            self._fill(self._max_line + 1)
            body = self._first_line()
        piece = self._short_enough(Piece(self.offset, self.line, body)) if body else None
        if piece is None:
            return self._pass_over()
        self._buffer = self._buffer[len(piece.body) :]
        self.offset, self.line = piece.end, self.line + piece.lines
        return piece

    def push_back(self, piece: Piece) -> None:
        """Takes back the end of what was given, to cut it anew."""
        if piece.end != self.offset:
            raise ValueError("only what was given last can be taken back")
        self._buffer = piece.body + self._buffer
        self.offset, self.line = piece.offset, piece.line

    def _fill(self, wanted: int) -> None:
        if len(self._buffer) >= wanted or self._ended:
            return
        parts: list[bytes] = [self._buffer]
        length = len(self._buffer)
        whole = b"\n" in self._buffer
        while length < wanted and not self._ended:
            data = self._read(READ_BYTES)
            if data is None:
                if whole:
                    break
                continue
            self._ended = not data
            whole = whole or b"\n" in data
            parts.append(data)
            length += len(data)
        self._buffer = b"".join(parts)

    def _whole_lines(self, limit: int) -> bytes:
        if self._ended and len(self._buffer) <= limit:
            return self._buffer
        return self._buffer[: self._buffer.rfind(b"\n", 0, limit) + 1]

    def _first_line(self) -> bytes | None:
        """The first line where it is longer than a batch is to be, yet fits into an entry."""
        newline = self._buffer.find(b"\n", 0, self._max_line + 1)
        if newline >= 0:
            return self._buffer[: newline + 1]
        return self._buffer if self._ended and len(self._buffer) <= self._max_line else None

    def _short_enough(self, piece: Piece) -> Piece | None:
        """The part of a piece before its first line that is too long, of few enough lines."""
        lines = piece.body.split(b"\n")
        count = min(len(lines), self._batch_lines)
        if max(map(len, lines)) > self._max_line:
            too_long = (i for i, text in enumerate(lines) if len(text) > self._max_line)
            count = min(count, next(too_long))
        return piece.split(count)[0]

    def _pass_over(self) -> Oversized:
        """Reads to the end of a line that is too long, keeping none of it."""
        start, length = self.offset, 0
        while (newline := self._buffer.find(b"\n")) < 0 and not self._ended:
            length += len(self._buffer)
            data = self._read(READ_BYTES)
            self._ended = data == b""
            self._buffer = data or b""
        taken = len(self._buffer) if newline < 0 else newline + 1
        length += len(self._buffer) if newline < 0 else newline
        self.offset = start + length + (newline >= 0)
        self._buffer = self._buffer[taken:]
        self.line += 1
        return Oversized(start, self.offset, self.line - 1, length)
