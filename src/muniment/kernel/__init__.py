"""The hot loops: what touches every byte of every entry, behind one narrow interface.

Bytes go in, bytes come out; nothing here knows a file, a clock, a policy or the format of a log
source. `python` is the plain-Python implementation, `native` its twin in Rust; `choice` takes one.
"""

from __future__ import annotations

import os

from muniment.kernel.choice import choose
from muniment.kernel.chunk import (
    CHUNK_BYTES,
    COMPRESS_CHUNK_BYTES,
    MAX_CHUNK_BYTES,
    MAX_ENTRY_BYTES,
    Chunk,
    Split,
)

ACTIVE, _kernel = choose(os.environ)

compress = _kernel.compress
crc32c = _kernel.crc32c
decompress = _kernel.decompress
extend = _kernel.extend
leaf_hashes = _kernel.leaf_hashes
pack_json_lines = _kernel.pack_json_lines
pack_lines = _kernel.pack_lines
pack_records = _kernel.pack_records
root = _kernel.root
split = _kernel.split
unpack = _kernel.unpack

__all__ = [
    "ACTIVE",
    "CHUNK_BYTES",
    "COMPRESS_CHUNK_BYTES",
    "MAX_CHUNK_BYTES",
    "MAX_ENTRY_BYTES",
    "Chunk",
    "Split",
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
