"""From records to packed entries; a record that no entry can hold is kept as several parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from muniment import kernel
from muniment.errors import TooLarge
from muniment.kernel import MAX_ENTRY_BYTES, Chunk
from muniment.receive.header import Origin, receipt_header

MAX_HEADER = 16 << 10
"""A receipt header over this is refused: what is said about records is not meant for content."""

_PART_ROOM = 200
"""Bytes that the key `part` takes in a header, and a little more."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records in the order in which they came, of one source and with one `about`.

    `seq` is the sender's number of the first one where it numbers them without gaps; `stream` is
    where it counts, `prev` the head of the stream's chain before them, where there is such a chain.
    """

    source: str
    records: Sequence[bytes]
    about: Mapping[str, str] = field(default_factory=dict)
    seq: int | None = None
    stream: str = ""
    prev: str = ""


def pack(groups: Sequence[Records], at: str, node: str, origin: Origin) -> list[Chunk]:
    """Packs groups of records, each under the header of its own source and `about`.

    Raises TooLarge where what is said about records is longer than a header may be.
    """
    chunks: list[Chunk] = []
    for group in groups:
        own = replace(
            origin,
            source=group.source,
            seq=group.seq,
            about=tuple(group.about.items()),
            stream=group.stream,
            prev=group.prev,
        )
        chunks += pack_records(group.records, at, node, own)
    return chunks


def pack_records(records: Sequence[bytes], at: str, node: str, origin: Origin) -> list[Chunk]:
    """Packs records that share a header, in order. Raises TooLarge as `pack` does."""
    if not records:
        return []
    header = bounded_header(at, node, origin)
    limit = MAX_ENTRY_BYTES - len(header)
    if max(map(len, records)) <= limit:
        return kernel.pack_records(records, header)
    chunks: list[Chunk] = []
    start = 0
    for number, record in enumerate(records):
        if len(record) <= limit:
            continue
        if start < number:
            chunks += kernel.pack_records(records[start:number], header)
        chunks += _parts(record, limit - _PART_ROOM, at, node, origin)
        start = number + 1
    if start < len(records):
        chunks += kernel.pack_records(records[start:], header)
    return chunks


def bounded_header(at: str, node: str, origin: Origin) -> bytes:
    """Returns the header line of entries. Raises TooLarge beyond MAX_HEADER bytes."""
    header = receipt_header(at, node, origin)
    if len(header) > MAX_HEADER:
        raise TooLarge(
            f"what is said about the records takes {len(header):,} bytes, more than {MAX_HEADER:,}"
        )
    return header


def _parts(record: bytes, size: int, at: str, node: str, origin: Origin) -> list[Chunk]:
    """One record as consecutive entries; each header says which part of what it is."""
    pieces = [record[begin : begin + size] for begin in range(0, len(record), size)]
    digest = sha256(record).hexdigest()
    chunks: list[Chunk] = []
    for number, piece in enumerate(pieces, 1):
        part = {"number": number, "of": len(pieces), "bytes": len(record), "sha256": digest}
        chunks += kernel.pack_records([piece], receipt_header(at, node, origin, part))
    return chunks
