"""The kernel in Rust (`kernel/` in the repository), which says only whether it could.

Where it refuses, the twin in Python is asked the same: it raises the error, the same for both by
construction, or takes what the compiled code left to it (JSON nested deeper than 128, say). The
compiled code takes nothing that the twin refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

import muniment_kernel as compiled

from muniment.kernel import python
from muniment.kernel.chunk import Chunk, Split


def pack_lines(body: bytes, header: bytes) -> list[Chunk]:
    """As `python.pack_lines`."""
    found = compiled.pack_lines(body, header)
    if found is None:
        return python.pack_lines(body, header)
    return [Chunk(*parts) for parts in found]


def pack_json_lines(body: bytes, header: bytes) -> list[Chunk]:
    """As `python.pack_json_lines`."""
    found = compiled.pack_json_lines(body, header)
    if found is None:
        return python.pack_json_lines(body, header)
    return [Chunk(*parts) for parts in found]


def pack_records(records: Sequence[bytes], header: bytes) -> list[Chunk]:
    """As `python.pack_records`."""
    found = compiled.pack_records(records, header)
    if found is None:
        return python.pack_records(records, header)
    return [Chunk(*parts) for parts in found]


def unpack(payload: bytes) -> list[bytes]:
    """As `python.unpack`."""
    found = compiled.unpack(payload)
    return python.unpack(payload) if found is None else found


def split(payload: bytes) -> Split:
    """As `python.split`."""
    found = compiled.split(payload)
    return python.split(payload) if found is None else Split(*found)


def leaf_hashes(payload: bytes) -> bytes:
    """As `python.leaf_hashes`."""
    found = compiled.leaf_hashes(payload)
    return python.leaf_hashes(payload) if found is None else found


def extend(frontier: bytes, size: int, leaves: bytes) -> tuple[bytes, list[bytes]]:
    """As `python.extend`."""
    found = compiled.extend(frontier, size, leaves) if 0 <= size < 1 << 64 else None
    return python.extend(frontier, size, leaves) if found is None else found


def root(frontier: bytes) -> bytes:
    """As `python.root`."""
    found = compiled.root(frontier)
    return python.root(frontier) if found is None else found


def crc32c(data: bytes, seed: int = 0) -> int:
    """As `python.crc32c`."""
    return compiled.crc32c(data, seed)


def compress(data: bytes) -> bytes:
    """As `python.compress`, though not always to the same bytes."""
    found = compiled.compress(data)
    return python.compress(data) if found is None else found


def decompress(data: bytes, size: int) -> bytes:
    """As `python.decompress`."""
    found = compiled.decompress(data, size) if 0 <= size < 1 << 32 else None
    return python.decompress(data, size) if found is None else found
