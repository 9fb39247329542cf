"""Frames: the unit that is written, checked and read back.

    magic        4  b"MNMF"
    header CRC   4  CRC-32C of the rest of the header
    body CRC     4  CRC-32C of the body
    kind         1  1 entries, 2 checkpoint, 3 seal
    flags        1  bit 0: ends a group commit; bit 1: begins one; all other bits are zero
    codec        1  0 as it is, 1 zstd
    reserved     1  zero
    first        8  index of the first entry; the tree's size where the frame has no entries
    count        4  entries in the frame
    raw          4  bytes of the payload before compression
    ids          4  bytes of the batch table
    stored       4  bytes of the payload as stored
    root        32  root of the tree after the frame
    body            batch table, payload, signature

Numbers are unsigned and big-endian. The tree's size after the frame is `first + count`. The batch
table names the batches that came with an idempotency id and begin in this frame: for each its
place in the frame (4), its entries (4), the id's length (1) and the id. A frame of entries ends
with the log's Ed25519 signature (64) over the checkpoint of the tree after it, so that nobody
without the key can put one behind the last checkpoint; other frames have no signature here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

from muniment.kernel import MAX_CHUNK_BYTES, compress, crc32c, decompress

MAGIC = b"MNMF"
MAX_ID_BYTES = 255
SIGNATURE_BYTES = 64
MAX_BODY_BYTES = 8 << 20

END = b"MUNIEND1"
TRAILER_BYTES = len(END) + 8
"""A sealed segment ends with END and an offset; a frame of entries ends with a signature."""

_START = Struct(">4sI")
_REST = Struct(">IBBBBQIIII32s")
_BATCH = Struct(">IIB")
HEADER_BYTES = _START.size + _REST.size

_COMPRESS_FROM = 256
_ENDS, _BEGINS = 1, 2


class Kind(IntEnum):
    """What a frame holds."""

    ENTRIES = 1
    CHECKPOINT = 2
    SEAL = 3


class BadFrame(ValueError):
    """Bytes that are no frame; says what was expected and what was found."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class BatchId:
    """A batch that can be replayed: its id, the index of its first entry, its entries."""

    id: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """A frame's header; see the module's layout."""

    kind: Kind
    begins: bool
    ends: bool
    codec: int
    first: int
    count: int
    raw: int
    ids: int
    stored: int
    root: bytes
    body_crc: int

    @property
    def size(self) -> int:
        """The tree's size after this frame."""
        return self.first + self.count

    @property
    def body(self) -> int:
        """Bytes of the body."""
        return self.ids + self.stored + self.signature

    @property
    def signature(self) -> int:
        """Bytes of the signature at the end of the body."""
        return SIGNATURE_BYTES if self.kind is Kind.ENTRIES else 0

    @property
    def length(self) -> int:
        """Bytes of the whole frame."""
        return HEADER_BYTES + self.body

    @classmethod
    def parse(cls, data: bytes) -> FrameHeader:
        """Reads the header at the start of `data`. Raises BadFrame."""
        if len(data) < HEADER_BYTES:
            raise BadFrame(f"a frame header of {HEADER_BYTES} bytes", f"{len(data)} bytes")
        magic, header_crc = _START.unpack_from(data)
        if magic != MAGIC:
            raise BadFrame(f"frame magic {MAGIC.hex()}", magic.hex())
        found = crc32c(data[_START.size : HEADER_BYTES])
        if found != header_crc:
            raise BadFrame(f"header CRC {header_crc:08x}", f"{found:08x}")
        body_crc, kind, flags, codec, zero, first, count, raw, ids, stored, root = (
            _REST.unpack_from(data, _START.size)
        )
        if kind not in (1, 2, 3) or flags > 3 or codec > 1 or zero:
            raise BadFrame("a known kind, flags and codec", f"{kind}, {flags}, {codec}, {zero}")
        if ids + stored > MAX_BODY_BYTES or (kind == Kind.ENTRIES and raw > MAX_CHUNK_BYTES):
            raise BadFrame(f"a body of at most {MAX_BODY_BYTES} bytes", str(ids + stored))
        begins, ends = bool(flags & _BEGINS), bool(flags & _ENDS)
        return cls(Kind(kind), begins, ends, codec, first, count, raw, ids, stored, root, body_crc)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's content. `payload` is uncompressed: packed entries, or what the kind says.

    `begins` and `ends` say whether the frame is the first and the last of its group commit.
    `compressed` is the payload as a zstd frame where somebody has made it already.
    """

    kind: Kind
    first: int
    count: int
    root: bytes
    payload: bytes
    begins: bool = True
    ends: bool = True
    ids: Sequence[BatchId] = field(default=())
    signature: bytes = bytes(SIGNATURE_BYTES)
    compressed: bytes = field(default=b"", repr=False, compare=False)

    def encode(self) -> bytes:
        """Returns the frame's bytes, compressed where that saves an eighth or more."""
        table = b"".join(
            _BATCH.pack(batch.first - self.first, batch.count, len(batch.id.encode()))
            + batch.id.encode()
            for batch in self.ids
        )
        stored, codec = self.payload, 0
        if self.kind is Kind.ENTRIES and len(stored) >= _COMPRESS_FROM:
            packed = self.compressed or compress(stored)
            if len(packed) <= len(stored) * 7 // 8:
                stored, codec = packed, 1
        body = table + stored + (self.signature if self.kind is Kind.ENTRIES else b"")
        rest = _REST.pack(
            crc32c(body),
            self.kind,
            _BEGINS * self.begins | _ENDS * self.ends,
            codec,
            0,
            self.first,
            self.count,
            len(self.payload),
            len(table),
            len(stored),
            self.root,
        )
        return b"".join((_START.pack(MAGIC, crc32c(rest)), rest, body))

    @classmethod
    def decode(cls, header: FrameHeader, body: bytes) -> Frame:
        """Checks and decodes a frame's body. Raises BadFrame."""
        if len(body) != header.body:
            raise BadFrame(f"a frame body of {header.body} bytes", f"{len(body)} bytes")
        found = crc32c(body)
        if found != header.body_crc:
            raise BadFrame(f"body CRC {header.body_crc:08x}", f"{found:08x}")
        end = header.ids + header.stored
        payload = body[header.ids : end]
        try:
            if header.codec:
                payload = decompress(payload, header.raw)
        except ValueError as error:
            raise BadFrame("a zstd frame", str(error)) from error
        if len(payload) != header.raw:
            raise BadFrame(f"a payload of {header.raw} bytes", f"{len(payload)} bytes")
        ids = tuple(parse_batch_table(body[: header.ids], header.first))
        return cls(
            header.kind,
            header.first,
            header.count,
            header.root,
            payload,
            header.begins,
            header.ends,
            ids,
            body[end:] or bytes(SIGNATURE_BYTES),
        )


def parse_batch_table(table: bytes, first: int) -> list[BatchId]:
    """Reads a frame's batch table. Raises BadFrame where it is malformed."""
    batches = []
    offset = 0
    while offset < len(table):
        start = offset + _BATCH.size
        if start > len(table):
            raise BadFrame("a whole row in the batch table", f"{len(table) - offset} bytes")
        place, count, length = _BATCH.unpack_from(table, offset)
        offset = start + length
        try:
            text = table[start:offset].decode()
        except UnicodeDecodeError as error:
            raise BadFrame("an id in UTF-8", str(error)) from error
        batches.append(BatchId(text, first + place, count))
    if offset != len(table):
        raise BadFrame(f"a batch table of {offset} bytes", f"{len(table)} bytes")
    return batches
