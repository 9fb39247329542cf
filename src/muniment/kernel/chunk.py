"""What the kernel makes of a batch: chunks of whole entries, packed and hashed."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ENTRY_BYTES = 65_535
"""The limit of C2SP tlog-tiles: an entry's length is a uint16."""

CHUNK_BYTES = 1 << 20
"""A chunk is closed by the entry that reaches this many packed bytes."""

MAX_CHUNK_BYTES = CHUNK_BYTES + MAX_ENTRY_BYTES + 2
"""No packed chunk is larger; a reader refuses more."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole entries, at most MAX_CHUNK_BYTES packed, that become one frame.

    `payload` is (uint16 big-endian length || entry)*, the entry bundle form of C2SP tlog-tiles.
    `leaves` holds the RFC 6962 leaf hash of each entry, 32 bytes each, in order.
    """

    payload: bytes
    count: int
    leaves: bytes
