"""What the kernel makes of a batch: chunks of whole entries, packed and hashed."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

MAX_ENTRY_BYTES = 65_535
"""The limit of C2SP tlog-tiles: an entry's length is a uint16."""

CHUNK_BYTES = 1 << 20
"""A chunk is closed by the entry that reaches this many packed bytes."""

MAX_CHUNK_BYTES = CHUNK_BYTES + MAX_ENTRY_BYTES + 2
"""No packed chunk is larger; a reader refuses more."""

COMPRESS_CHUNK_BYTES = 64 << 10
"""A chunk of fewer packed bytes is not worth compressing."""


class Chunk(msgspec.Struct, frozen=True):
    """Whole entries, at most MAX_CHUNK_BYTES packed, that become one frame.

    `payload` is (uint16 big-endian length || entry)*, the entry bundle form of C2SP tlog-tiles.
    `leaves` holds the RFC 6962 leaf hash of each entry, 32 bytes each, in order. `compressed` is
    the payload as one zstd frame where it has COMPRESS_CHUNK_BYTES or more and that saves an
    eighth, else empty.
    """

    payload: bytes
    count: int
    leaves: bytes
    compressed: bytes = b""


@dataclass(frozen=True, slots=True)
class Split:
    """The entries of a packed chunk, taken apart at their first newline, as Arrow holds them.

    `headers` are the distinct headers in order of first appearance, each with its newline; an
    entry that has no newline is all header. `which` holds a native-endian uint32 for each entry,
    the place of its header in `headers`; `offsets` native-endian int32, one more than entries,
    where each begins in `raw`; `raw` what stands after the first newlines, end to end.
    """

    headers: list[bytes]
    which: bytes
    offsets: bytes
    raw: bytes
