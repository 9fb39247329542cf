"""The kernel in plain Python: packing, hashing, checksums, compression."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import Struct
from struct import error as StructError

import google_crc32c
import orjson
import zstandard

from muniment.errors import InputError, TooLarge
from muniment.kernel.chunk import (
    CHUNK_BYTES,
    COMPRESS_CHUNK_BYTES,
    MAX_CHUNK_BYTES,
    MAX_ENTRY_BYTES,
    Chunk,
    Split,
)

HASH_BYTES = 32
MAX_SPLIT_BYTES = (1 << 31) - 1
"""What Arrow's int32 offsets reach."""
_LENGTH = Struct(">H")
_NO_OBJECT = "a JSON value that is not an object"


def pack_lines(body: bytes, header: bytes) -> list[Chunk]:
    """Packs one entry a line: `header` (which ends in a newline) followed by the line.

    Lines end at `\\n`, which is not kept; the last line's newline is optional. An empty line is an
    entry like any other: what arrived is what is kept.

    Raises InputError for an empty body, TooLarge naming the first line over the bound.
    """
    if not body:
        raise InputError("the body is empty", advice="send at least one line")
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return _pack(lines, header)


def pack_json_lines(body: bytes, header: bytes) -> list[Chunk]:
    """Packs one entry a line, each of which must be one JSON object (RFC 8259, UTF-8).

    The bytes are kept as they are. Lines of nothing but white space carry no object and are
    passed over. Raises InputError or TooLarge naming the first bad line, counted from 1.
    """
    lines = body.split(b"\n")
    loads = orjson.loads
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if type(loads(line)) is not dict:
                raise _bad(lines, header, number, _NO_OBJECT)
    except orjson.JSONDecodeError:
        return _pack_with_blanks(lines, header, number)
    return _pack(lines, header)


def _pack_with_blanks(lines: list[bytes], header: bytes, stop: int) -> list[Chunk]:
    """The slower way for bodies with blank lines; `stop` is the first line that did not decode."""
    kept = lines[: stop - 1]
    numbers = list(range(1, stop))
    for number, line in enumerate(lines[stop - 1 :], stop):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            problem = f"not JSON: {error.msg} at column {error.colno}"
            raise _bad(lines, header, number, problem) from None
        if type(value) is not dict:
            raise _bad(lines, header, number, _NO_OBJECT)
        kept.append(line)
        numbers.append(number)
    if not kept:
        raise InputError("the body holds no JSON object", advice="send at least one line")
    return _pack(kept, header, numbers)


def _bad(lines: list[bytes], header: bytes, number: int, problem: str) -> InputError:
    """The error for line `number`, unless one up to there is over the bound: the first counts."""
    for place, line in enumerate(lines[:number], 1):
        if len(header) + len(line) > MAX_ENTRY_BYTES and line.strip():
            return _too_large(len(line), len(header), place)
    return InputError(problem, line=number, advice="each line must be one JSON object")


def pack_records(records: Sequence[bytes], header: bytes) -> list[Chunk]:
    """Packs each record, whatever its bytes, as one entry. Errors count records from 1."""
    if not records:
        raise InputError("there is no record", advice="send at least one")
    return _pack(records, header)


def _pack(
    records: Sequence[bytes], header: bytes, numbers: Sequence[int] | None = None
) -> list[Chunk]:
    chunks: list[Chunk] = []
    parts: list[bytes] = []
    leaves: list[bytes] = []
    length, leaf_prefix, packed = _LENGTH.pack, b"\x00" + header, 0
    header_length = len(header)
    entry_length = 0
    try:
        for record in records:
            entry_length = header_length + len(record)
            parts.append(length(entry_length) + header + record)
            leaves.append(sha256(leaf_prefix + record).digest())
            packed += entry_length + 2
            if packed >= CHUNK_BYTES:
                chunks.append(_chunk(parts, leaves))
                parts, leaves, packed = [], [], 0
    except StructError:
        place = sum(chunk.count for chunk in chunks) + len(parts)
        number = numbers[place] if numbers else place + 1
        raise _too_large(entry_length - header_length, header_length, number) from None
    if parts:
        chunks.append(_chunk(parts, leaves))
    return chunks


def _chunk(parts: list[bytes], leaves: list[bytes]) -> Chunk:
    payload = b"".join(parts)
    compressed = b""
    if len(payload) >= COMPRESS_CHUNK_BYTES:
        frame = compress(payload)
        if len(frame) <= len(payload) * 7 // 8:
            compressed = frame
    return Chunk(payload, len(parts), b"".join(leaves), compressed)


def _too_large(length: int, header: int, number: int) -> TooLarge:
    return TooLarge(
        f"{length:,} bytes, more than the {MAX_ENTRY_BYTES - header:,} that fit into one entry",
        line=number,
        advice="split the record, or send it as an attachment",
    )


def unpack(payload: bytes) -> list[bytes]:
    """Returns the entries of a packed chunk. Raises ValueError where the lengths do not add up."""
    entries: list[bytes] = []
    append, length_at = entries.append, _LENGTH.unpack_from
    offset, end = 0, len(payload)
    while offset < end:
        if offset + 2 > end:
            raise ValueError(f"a length is cut short at byte {offset}")
        start = offset + 2
        offset = start + length_at(payload, offset)[0]
        append(payload[start:offset])
    if offset != end:
        raise ValueError(f"the last entry ends at byte {offset}, the payload at {end}")
    return entries


def split(payload: bytes) -> Split:
    """Takes the entries of a packed chunk apart at their first newline: header and raw bytes.

    Raises ValueError where the lengths do not add up, and for 2 GiB or more.
    """
    if len(payload) > MAX_SPLIT_BYTES:
        raise ValueError(f"{len(payload)} bytes are over the bound of {MAX_SPLIT_BYTES}")
    places: dict[bytes, int] = {}
    which, offsets, raws = array("I"), array("i", [0]), []
    offset = 0
    for entry in unpack(payload):
        header, newline, raw = entry.partition(b"\n")
        which.append(places.setdefault(header + newline, len(places)))
        raws.append(raw)
        offset += len(raw)
        offsets.append(offset)
    return Split(list(places), which.tobytes(), offsets.tobytes(), b"".join(raws))


def leaf_hashes(payload: bytes) -> bytes:
    """Returns the RFC 6962 leaf hashes, 32 bytes each, of a packed chunk's entries."""
    return b"".join([sha256(b"\x00" + entry).digest() for entry in unpack(payload)])


def extend(frontier: bytes, size: int, leaves: bytes) -> tuple[bytes, list[bytes]]:
    """Appends leaf hashes to a tree of `size` leaves.

    `frontier` holds the roots of the perfect subtrees that make up the tree, largest first: one
    hash for each bit set in `size`. Returns the new frontier and, for tile levels 1, 2, ..., the
    hashes that the new leaves completed there (each the root of 256, 65,536, ... leaves).
    Raises ValueError where the frontier does not fit the size or something is no hash.
    """
    stack = _hashes(frontier)
    if size < 0 or len(stack) != size.bit_count():
        raise ValueError(f"a frontier of {len(stack)} hashes does not fit a tree of {size} leaves")
    hashes = _hashes(leaves)
    right: list[bytes] = []
    tiles: list[bytes] = []
    level = 0
    while hashes:
        if level and level % 8 == 0:
            tiles.append(b"".join(hashes))
        if size >> level & 1:
            hashes = [stack.pop(), *hashes]
        if len(hashes) & 1:
            right.append(hashes.pop())
        pairs: Iterable[tuple[bytes, bytes]] = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + a + b).digest() for a, b in pairs]
        level += 1
    return b"".join([*stack, *reversed(right)]), tiles


def root(frontier: bytes) -> bytes:
    """Returns the RFC 6962 root of the tree whose frontier this is. Raises ValueError."""
    hashes = _hashes(frontier)
    if not hashes:
        return sha256(b"").digest()
    top = hashes.pop()
    while hashes:
        top = sha256(b"\x01" + hashes.pop() + top).digest()
    return top


def _hashes(hashes: bytes) -> list[bytes]:
    if len(hashes) % HASH_BYTES:
        raise ValueError(f"{len(hashes)} bytes are not hashes of {HASH_BYTES} bytes")
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]


def crc32c(data: bytes, seed: int = 0) -> int:
    """Returns the CRC-32C (Castagnoli, RFC 3720 B.4) of `data`, going on from `seed`."""
    return int(google_crc32c.extend(seed, data))


def compress(data: bytes) -> bytes:
    """Returns one zstd frame (RFC 8878, level 1) with its content's size and checksum."""
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)


def decompress(data: bytes, size: int) -> bytes:
    """Returns the `size` bytes that a zstd frame holds. Raises ValueError for anything else."""
    if size > MAX_CHUNK_BYTES:
        raise ValueError(f"{size} bytes are over the bound of {MAX_CHUNK_BYTES}")
    try:
        stated = zstandard.get_frame_parameters(data).content_size
        if stated != size:  # checked first: the library allocates what the frame states
            raise ValueError(f"the frame states {stated} bytes where {size} were stated")
        found = zstandard.ZstdDecompressor().decompress(
            data, max_output_size=size, read_across_frames=False, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(found) != size:
        raise ValueError(f"holds {len(found)} bytes where {size} were stated")
    return found
