"""Content codings undone within a bound: what unpacks to more is refused before it costs memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from enum import Enum
from io import BytesIO
from typing import Self

import zstandard

from muniment.errors import InputError, TooLarge, UnsupportedMedia

PIECE = 1 << 16
MAX_MEMBERS = 4_096
"""Of one compressed body: gzip members or zstd frames."""

SPILL_BYTES = 8 << 20
"""What unpacks to more goes into one buffer that grows."""

_ZSTD_WINDOW = 1 << 23
"""What a decoder must support (RFC 8878, 3.1.1.1.2); larger windows are refused."""

_ZSTD_EXPANSION = 32_768
"""At most: a block of 4 bytes stands for 128 KiB."""

Grow = Callable[[int], None]
"""Says that so many bytes of memory more are needed. Raises TooLarge or Overloaded."""


class Coding(Enum):
    """The content codings that can be undone."""

    IDENTITY = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"

    @classmethod
    def of(cls, content_encoding: str | None) -> Coding:
        """Reads a Content-Encoding. Raises UnsupportedMedia."""
        name = (content_encoding or "identity").strip().lower()
        try:
            return cls("gzip" if name == "x-gzip" else name)
        except ValueError:
            raise UnsupportedMedia(
                f"the content coding {name[:80]!r} is not taken",
                advice="send gzip, deflate, zstd or no coding",
            ) from None


def decode(
    coding: Coding, body: bytes, limit: int, grow: Grow, *, members: int = MAX_MEMBERS
) -> bytes:
    """Undoes a content coding; `grow` is told of what comes out, piece by piece.

    `members` bounds the gzip members or zstd frames of one body. Raises TooLarge beyond `limit`
    bytes, InputError for what is damaged or cut short.
    """
    if coding is Coding.IDENTITY:
        return body
    with _Unpacked(limit, grow) as unpacked:
        if coding is Coding.ZSTD:
            _unzstd(body, limit, unpacked.take, members)
        else:
            _inflate(coding, body, unpacked.take, members)
        return unpacked.whole()


class _Unpacked:
    """What comes out, within a limit. A large body stands in memory once.

    It is one buffer, which malloc maps for itself and gives back to the system when it is let go.
    As many pieces it would stay with the arena of the thread that unpacked it, and the next large
    body, on another thread, would come on top.
    """

    def __init__(self, limit: int, grow: Grow) -> None:
        self._limit, self._grow = limit, grow
        self._pieces: list[bytes] = []
        self._large: BytesIO | None = None
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Lets go of all: the trace of an error would keep it."""
        self._pieces = []
        self._large = None

    def take(self, piece: bytes) -> int:
        """Takes a piece; returns how many bytes may follow. Raises TooLarge."""
        self._total += len(piece)
        if self._total > self._limit:
            raise TooLarge(
                f"the body unpacks to more than {self._limit:,} bytes", advice="send less at once"
            )
        self._grow(len(piece))
        if self._large is not None:
            self._large.write(piece)
        else:
            self._pieces.append(piece)
            if self._total > SPILL_BYTES:
                self._large = BytesIO()
                self._large.writelines(self._pieces)
                self._pieces = []
        return self._limit - self._total

    def whole(self) -> bytes:
        """Returns all of it; that costs a large one no copy."""
        return b"".join(self._pieces) if self._large is None else self._large.getvalue()


def _inflate(coding: Coding, body: bytes, take: Callable[[bytes], int], bound: int) -> None:
    window = 31 if coding is Coding.GZIP else _deflate_window(body)
    members = 0
    inflater = None
    try:
        for start in range(0, len(body), PIECE):
            data = body[start : start + PIECE]
            while data:
                if inflater is None:
                    members += 1
                    _check_members(members, bound)
                    inflater = zlib.decompressobj(wbits=window)
                take(inflater.decompress(data, 1 << 20))
                data = inflater.unconsumed_tail
                if inflater.eof:
                    data, inflater = inflater.unused_data, None
        while inflater is not None and (rest := inflater.decompress(b"", 1 << 20)):
            take(rest)
    except zlib.error as error:
        raise InputError(f"the body is not {coding.value}: {error}") from error
    if not members or (inflater is not None and not inflater.eof):
        raise InputError(f"the {coding.value} body is cut short")


def _deflate_window(body: bytes) -> int:
    """`deflate` is zlib (RFC 9110, 8.4.1.2); clients that send it raw are common."""
    zlib_head = body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if zlib_head else -zlib.MAX_WBITS


def _unzstd(body: bytes, limit: int, take: Callable[[bytes], int], bound: int) -> None:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    members, offset, left = 0, 0, limit
    frame = None
    try:
        while offset < len(body):
            if frame is None:
                members += 1
                _check_members(members, bound)
                frame = decompressor.decompressobj()
            data = body[offset : offset + max(64, left // _ZSTD_EXPANSION)]
            left = take(frame.decompress(data))
            offset += len(data)
            if frame.eof:
                offset -= len(frame.unused_data)
                frame = None
    except zstandard.ZstdError as error:
        raise InputError(f"the body is not zstd: {error}") from error
    if frame is not None or not members:
        raise InputError("the zstd body is cut short")


def _check_members(members: int, bound: int) -> None:
    if members > bound:
        raise TooLarge(
            f"more than {bound:,} compressed parts",
            advice="send one gzip member or zstd frame",
        )
