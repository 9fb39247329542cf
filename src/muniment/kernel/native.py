"""The kernel in Rust (`kernel/` in the repository), which says only whether it could.

Where it refuses, the twin in Python is asked the same: it raises the error, the same for both by
construction, or takes what the compiled code left to it (JSON nested deeper than 128, say). The
compiled code takes nothing that the twin refuses. Checksums and compression by themselves are the
twin's: its libraries are compiled code already, and gained nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import muniment_kernel as compiled

from muniment.kernel import python
from muniment.kernel.chunk import Chunk, Split
from muniment.kernel.python import compress, crc32c, decompress

__all__ = [
    "compress",
    "crc32c",
    "decompress",
    "extend",
    "leaf_hashes",
    "pack_json_lines",
    "pack_lines",
    "pack_records",
    "root",
    "split",
    "unpack",
]


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
