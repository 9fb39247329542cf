"""Content codings undone within a bound: what unpacks to more is refused before it costs memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from enum import Enum

import zstandard

from muniment.errors import InputError, TooLarge, UnsupportedMedia

PIECE = 1 << 16
MAX_MEMBERS = 4_096
"""Of one compressed body: gzip members or zstd frames."""

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
    pieces: list[bytes] = []
    total = 0

    def take(piece: bytes) -> int:
        nonlocal total
        total += len(piece)
        if total > limit:
            raise TooLarge(
                f"the body unpacks to more than {limit:,} bytes", advice="send less at once"
            )
        grow(len(piece))
        pieces.append(piece)
        return limit - total

    if coding is Coding.ZSTD:
        _unzstd(body, limit, take, members)
    else:
        _inflate(coding, body, take, members)
    return b"".join(pieces)


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
