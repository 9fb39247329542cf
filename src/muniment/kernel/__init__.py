"""The hot loops: what touches every byte of every entry, behind one narrow interface.

Bytes go in, bytes come out; nothing here knows a file, a clock, a policy or the format of a log
source. `python` is the plain-Python implementation; a compiled twin has the same signatures.
"""

from __future__ import annotations

from muniment.kernel.chunk import CHUNK_BYTES, MAX_CHUNK_BYTES, MAX_ENTRY_BYTES, Chunk
from muniment.kernel.python import (
    compress,
    crc32c,
    decompress,
    extend,
    leaf_hashes,
    pack_json_lines,
    pack_lines,
    pack_records,
    root,
    unpack,
)

ACTIVE = "python"

__all__ = [
    "ACTIVE",
    "CHUNK_BYTES",
    "MAX_CHUNK_BYTES",
    "MAX_ENTRY_BYTES",
    "Chunk",
    "compress",
    "crc32c",
    "decompress",
    "extend",
    "leaf_hashes",
    "pack_json_lines",
    "pack_lines",
    "pack_records",
    "root",
    "unpack",
]
