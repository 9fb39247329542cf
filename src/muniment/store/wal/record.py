"""A write-ahead object: appends of one shard, or the fence that ends a term.

    header       see `header`: it can be read alone
    body         for each append: act 1, segment 8, first 8, size 8, root 32, length of its frames
                 4; then the frames of all of them; nothing in a fence
    digest   32  SHA-256 of all before

Numbers are unsigned and big-endian. Whatever a store returns is from outside: the decoder is
bounded and raises nothing but Corrupt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import pairwise

from muniment.errors import Corrupt
from muniment.log.replica import Act, Append
from muniment.store.wal.header import (
    APPEND,
    APPEND_BYTES,
    DIGEST_BYTES,
    NOTHING,
    Header,
    Kind,
    decode_header,
)
from muniment.store.wal.identity import Node
from muniment.store.wal.names import ShardName


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object's bytes, and their SHA-256: what the next object's `prev` is."""

    data: bytes
    digest: bytes


def encode(header: Header, appends: Sequence[Append] = ()) -> Encoded:
    """Returns an object; `header` says nothing of the body where there is one."""
    table = b"".join(
        APPEND.pack(one.act, one.segment, one.first, one.size, one.root, len(one.frames))
        for one in appends
    )
    parts = [header.encode(), table, *(one.frames for one in appends)]
    digest = sha256()
    for part in parts:
        digest.update(part)
    own = digest.digest()
    digest.update(own)
    return Encoded(b"".join((*parts, own)), digest.digest())


def header_of(
    appends: Sequence[Append], of: ShardName, node: Node, writer: bytes, at: datetime
) -> Header:
    """Returns the header of an object of these appends, as far as they say it."""
    last = appends[-1]
    return Header(
        Kind.APPENDS,
        of,
        node,
        term=0,
        slot=0,
        confirmed=0,
        writer=writer,
        prev=NOTHING,
        at=at,
        first=appends[0].first,
        size=last.size,
        root=last.root,
        segment=last.segment,
        count=len(appends),
        body=sum(APPEND_BYTES + len(one.frames) for one in appends),
    )


@dataclass(frozen=True, slots=True)
class Record:
    """A whole object, verified: its digest, its links within itself, its lengths."""

    header: Header
    appends: Sequence[Append]
    digest: bytes


def decode(data: bytes, where: str) -> Record:
    """Reads a whole object. Raises Corrupt naming `where` for anything that is none."""
    header = decode_header(data, where)
    end = header.length + header.body
    if len(data) != end + DIGEST_BYTES:
        raise Corrupt(where, 0, f"{end + DIGEST_BYTES:,} bytes", f"{len(data):,}")
    digest = sha256(memoryview(data)[:end])
    if digest.digest() != data[end:]:
        raise Corrupt(where, end, "a write-ahead object's own SHA-256", "another")
    digest.update(data[end:])
    appends = _appends(data, header, where)
    _check_appends(appends, header, where)
    return Record(header, appends, digest.digest())


def _appends(data: bytes, header: Header, where: str) -> list[Append]:
    found, end = [], header.length + header.body
    place = header.length + header.count * APPEND_BYTES
    for number in range(header.count):
        entry = header.length + number * APPEND_BYTES
        act, segment, first, size, root, length = APPEND.unpack_from(data, entry)
        if length > end - place:
            raise Corrupt(where, entry, f"frames of {length:,} bytes", f"{end - place:,}")
        try:
            kind = Act(act)
        except ValueError as error:
            raise Corrupt(where, entry, "a known act", str(act)) from error
        found.append(Append(kind, segment, first, size, root, data[place : place + length]))
        place += length
    if place != end:
        raise Corrupt(where, place, "the end of the body", f"{end - place:,} more bytes")
    return found


def _check_appends(appends: Sequence[Append], header: Header, where: str) -> None:
    if not appends:
        return
    for one in appends:
        if not one.segment <= one.first <= one.size:
            found = f"{one.first}..{one.size} in segment {one.segment}"
            raise Corrupt(where, header.length, "an append within its segment", found)
    for before, after in pairwise(appends):
        if before.size != after.first or before.segment > after.segment:
            found = f"{after.first} in segment {after.segment}"
            raise Corrupt(where, header.length, f"an append at {before.size}", found)
    first, last = appends[0], appends[-1]
    ends = (first.first, last.size, last.root, last.segment)
    if ends != (header.first, header.size, header.root, header.segment):
        raise Corrupt(where, header.length, "the appends of the header", "others")
