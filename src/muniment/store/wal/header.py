"""The header of a write-ahead object: what it is, whose, where in the chain, which appends it has.

    magic     8  b"MUNIWAL1"
    kind      1  1 appends, 2 fence
    lengths   2  of the origin; 1 each of the log, the shard, the node
    count     4  appends in the object; 0 in a fence
    body      4  bytes of the body
    term      8  a fence ends this term: its node has the next one
    slot      8  the place in the term
    confirmed 8  how many slots of the term, from 0, its maker knew to be stored; never above `slot`
    at        8  when it was made: microseconds since 1970
    writer   16  random, new for each claim; in a fence that of the writer who begins
    instance 16  the data directory of the node
    prev     32  SHA-256 of the object before in the chain; in a fence that does not know it, zeros
    first     8  size of the tree before the appends; in a fence that at `confirmed`
    size      8  size of the tree after them; in a fence that at `confirmed`
    root     32  root of the tree at `size`; zeros in a fence of a chain without appends
    segment   8  the segment of the last append; 0 in a fence
    names        origin, log, shard, node in UTF-8
    CRC       4  CRC-32C of all that: a header can be read alone

Numbers are unsigned and big-endian. Whatever a store returns is from outside: the decoder is
bounded and raises nothing but Corrupt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from struct import Struct

from muniment.errors import Corrupt
from muniment.kernel import crc32c
from muniment.store.wal.identity import Node
from muniment.store.wal.names import ShardName

MAGIC = b"MUNIWAL1"
DIGEST_BYTES = 32
NOTHING = bytes(DIGEST_BYTES)
MAX_BODY = (1 << 32) - 1
MAX_COUNT = 1 << 20
MAX_ORIGIN = 1024

APPEND = Struct(">BQQQ32sI")
"""What the body says of each append before its frames: `count` and `body` must agree with it."""

APPEND_BYTES = APPEND.size

_FIXED = Struct(">8sBHBBBIIQQQQ16s16s32sQQ32sQ")
_CRC = Struct(">I")
MAX_HEADER = _FIXED.size + MAX_ORIGIN + 3 * 255 + _CRC.size
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = (1 << 57) - 1


class Kind(IntEnum):
    """What an object is."""

    APPENDS = 1
    FENCE = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an object without its body. See the module for the fields."""

    kind: Kind
    of: ShardName
    node: Node
    term: int
    slot: int
    confirmed: int
    writer: bytes
    prev: bytes
    at: datetime
    first: int
    size: int
    root: bytes
    segment: int = 0
    count: int = 0
    body: int = 0
    length: int = field(default=0, compare=False)

    @property
    def is_fence(self) -> bool:
        """Whether it ends its term."""
        return self.kind is Kind.FENCE

    def encode(self) -> bytes:
        """Returns the header's bytes."""
        names = (self.of.origin, self.of.log, self.of.shard, self.node.name)
        origin, log, shard, node = (name.encode() for name in names)
        data = b"".join(
            (
                _FIXED.pack(
                    MAGIC,
                    self.kind,
                    len(origin),
                    len(log),
                    len(shard),
                    len(node),
                    self.count,
                    self.body,
                    self.term,
                    self.slot,
                    self.confirmed,
                    (self.at - _EPOCH) // timedelta(microseconds=1),
                    self.writer,
                    self.node.instance,
                    self.prev,
                    self.first,
                    self.size,
                    self.root,
                    self.segment,
                ),
                origin,
                log,
                shard,
                node,
            )
        )
        return data + _CRC.pack(crc32c(data))


def decode_header(data: bytes, where: str) -> Header:
    """Reads the header that `data` begins with. Raises Corrupt naming `where`."""
    if len(data) < _FIXED.size or not data.startswith(MAGIC):
        raise Corrupt(where, 0, f"write-ahead magic {MAGIC!r}", repr(data[: len(MAGIC)]))
    fields = _FIXED.unpack_from(data)
    lengths = fields[2:6]
    end = _FIXED.size + sum(lengths)
    if lengths[0] > MAX_ORIGIN or len(data) < end + _CRC.size:
        raise Corrupt(where, _FIXED.size, "the names of a write-ahead object", "too few bytes")
    stated, found = _CRC.unpack_from(data, end)[0], crc32c(data[:end])
    if stated != found:
        raise Corrupt(where, 0, f"write-ahead header CRC {stated:08x}", f"{found:08x}")
    names, place = [], _FIXED.size
    try:
        for length in lengths:
            names.append(data[place : place + length].decode())
            place += length
        header = _header(fields, names, end + _CRC.size)
    except (ValueError, OverflowError) as error:
        raise Corrupt(where, 0, "the header of a write-ahead object", str(error)[:100]) from error
    _check(header, where)
    return header


def _header(fields: tuple[int, ...], names: Sequence[str], length: int) -> Header:
    (_, kind, _, _, _, _, count, body, term, slot, confirmed, at, *rest) = fields
    writer, instance, prev, first, size, root, segment = rest
    if at > _LATEST:
        raise ValueError(f"the time {at}")
    return Header(
        Kind(kind),
        ShardName(*names[:3]),
        Node(names[3], _bytes(instance)),
        term,
        slot,
        confirmed,
        _bytes(writer),
        _bytes(prev),
        _EPOCH + timedelta(microseconds=at),
        first,
        size,
        _bytes(root),
        segment,
        count,
        body,
        length,
    )


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)  # as the format string says
    return value


def _check(header: Header, where: str) -> None:
    """What holds in every header, whoever made it."""
    if header.confirmed > header.slot:
        raise Corrupt(where, 0, f"at most {header.slot} confirmed", str(header.confirmed))
    if header.first > header.size:
        raise Corrupt(where, 0, "a tree that does not shrink", f"{header.first}..{header.size}")
    if header.is_fence:
        if header.count or header.body or header.first != header.size:
            raise Corrupt(where, 0, "a fence without appends", f"{header.count} appends")
    elif not header.term:
        raise Corrupt(where, 0, "appends in a term from 1 on", "term 0")
    elif not 0 < header.count <= MAX_COUNT or header.body < header.count * APPEND_BYTES:
        raise Corrupt(where, 0, "some appends", f"{header.count} in {header.body} bytes")
