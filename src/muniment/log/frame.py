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
    body            batch table, payload

Numbers are unsigned and big-endian. The tree's size after the frame is `first + count`. The batch
table names the batches that came with an idempotency id and begin in this frame: for each its
place in the frame (4), its entries (4), the id's length (1) and the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

from muniment.kernel import MAX_CHUNK_BYTES, compress, crc32c, decompress

MAGIC = b"MNMF"
MAX_ID_BYTES = 255
MAX_BODY_BYTES = 8 << 20

END = b"MUNIEND1"
TRAILER_BYTES = len(END) + 8
"""A sealed segment ends with END and an offset; no frame of entries ends like that."""

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
        return self.ids + self.stored

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
    """

    kind: Kind
    first: int
    count: int
    root: bytes
    payload: bytes
    begins: bool = True
    ends: bool = True
    ids: Sequence[BatchId] = field(default=())

    def encode(self) -> bytes:
        """Returns the frame's bytes."""
        table = b"".join(
            _BATCH.pack(batch.first - self.first, batch.count, len(batch.id.encode()))
            + batch.id.encode()
            for batch in self.ids
        )
        stored, codec = self._stored(self.root + table)
        rest = _REST.pack(
            crc32c(stored, crc32c(table)),
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
        return b"".join((_START.pack(MAGIC, crc32c(rest)), rest, table, stored))

    def _stored(self, before: bytes) -> tuple[bytes, int]:
        """Returns the payload and its codec: compressed where that saves an eighth or more.

        `before` is what stands before it. A sender can make an entry end like a sealed segment,
        and a reader that opens the file just then would follow it to frames that the sender made
        up. Such a payload takes the other codec: a zstd frame ends with a checksum.
        """
        plain = self.payload, 0
        if self.kind is not Kind.ENTRIES:
            return plain
        short = len(self.payload) < _COMPRESS_FROM
        if short and not _looks_sealed(before + self.payload):
            return plain
        packed = compress(self.payload), 1
        if not short and len(packed[0]) <= len(self.payload) * 7 // 8:
            return plain if _looks_sealed(before + packed[0]) else packed
        return packed if _looks_sealed(before + self.payload) else plain

    @classmethod
    def decode(cls, header: FrameHeader, body: bytes) -> Frame:
        """Checks and decodes a frame's body. Raises BadFrame."""
        if len(body) != header.body:
            raise BadFrame(f"a frame body of {header.body} bytes", f"{len(body)} bytes")
        found = crc32c(body)
        if found != header.body_crc:
            raise BadFrame(f"body CRC {header.body_crc:08x}", f"{found:08x}")
        payload = body[header.ids :]
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
        )


def _looks_sealed(frame: bytes) -> bool:
    return frame[-TRAILER_BYTES:].startswith(END)


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
