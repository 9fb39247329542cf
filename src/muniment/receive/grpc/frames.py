"""The frames of an HTTP/2 connection as they come in, measured before h2 waits for all of one.

h2 refuses a frame that is longer than was agreed only when all of it has come, and gathers long
header blocks: a peer could make it hold 16 MiB for each connection.
"""

from __future__ import annotations

from muniment.errors import TooLarge

MAX_FRAME = 16_384
"""Bytes of a frame: what HTTP/2 allows where nothing else was said (RFC 9113, 6.5.2)."""

MAX_HEADER_BLOCK = 32 << 10
"""Bytes of the compressed metadata of a call, in all its frames."""

_PREFACE = 24
_HEAD = 9
_HEADERS, _CONTINUATION = 1, 9


class FrameBounds:
    """Follows the heads of the frames of one client, from its preface on."""

    def __init__(self) -> None:
        self._left = _PREFACE
        self._head = b""
        self._block = 0

    def check(self, data: bytes) -> None:
        """Looks at bytes, in any pieces. Raises TooLarge at the head of a frame that is."""
        position, end = self._left, len(data)
        while position < end:
            if not self._head and position + _HEAD <= end:
                head = data[position : position + _HEAD]
            else:
                head = self._head + data[position : position + _HEAD - len(self._head)]
            position += len(head) - len(self._head)
            if len(head) < _HEAD:
                self._head = head
                break
            self._head = b""
            position += self._judge(int.from_bytes(head[:3], "big"), head[3])
        self._left = position - end

    def _judge(self, length: int, kind: int) -> int:
        if length > MAX_FRAME:
            raise TooLarge(f"a frame of {length:,} bytes")
        if kind == _HEADERS:
            self._block = length
        elif kind == _CONTINUATION:
            self._block += length
            if self._block > MAX_HEADER_BLOCK:
                raise TooLarge(f"metadata of more than {MAX_HEADER_BLOCK:,} bytes")
        return length
