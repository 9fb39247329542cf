"""Protocol buffers by slices: messages of many records become messages of one record each.

No message is decoded into objects and none is written anew. The walk reads tags and lengths (the
wire format of https://protobuf.dev/programming-guides/encoding) and cuts; what it does not know
it keeps as it came. It works in proportion to the bytes, and never on more than MAX_FIELDS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from muniment.errors import InputError, TooLarge
from muniment.receive.coding import Grow

MAX_FIELDS = 4_000_000
"""Of one body, whatever they are: what bounds the work on a body of the smallest fields."""

SPAN_COST = 130
"""Bytes of memory that a place in a body takes: a pair of integers in a list."""

RECORD_COST = 50
"""Bytes of memory that a record takes in a list beside its own."""

CHARGE_STEP = 64 << 10

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LARGEST_NUMBER = (1 << 29) - 1
_STEP = 4_096
"""Fields that are found before the memory for their places is asked for again."""

_CACHED_PREFIXES = 1_024
_CACHED_BYTES = 4_096


class Message(NamedTuple):
    """A message taken apart at one repeated field.

    `spans` are the places of that field's contents; `head` is every other field before the first
    of them, `tail` every other one after it, in their order.
    """

    head: bytes
    spans: list[tuple[int, int]]
    tail: bytes


class Walk:
    """One walk through the bytes of a body; `grow` is told of memory before it is used."""

    def __init__(self, data: bytes, grow: Grow) -> None:
        self.data = data
        self._grow = grow
        self._owed = 0
        self._left = MAX_FIELDS

    def charge(self, amount: int) -> None:
        """Tells of memory; small amounts are gathered up to CHARGE_STEP bytes."""
        self._owed += amount
        if self._owed >= CHARGE_STEP:
            self._grow(self._owed)
            self._owed = 0

    def split(self, start: int, end: int, number: int) -> Message:
        """Takes apart the message in `data[start:end]` at the field `number` (1 to 15).

        That field has the wire type LEN; with another one it counts among the others, as for any
        decoder that meets it. Raises InputError, and TooLarge where there are too many fields.
        """
        data, tag = self.data, number << 3 | _LENGTH
        spans: list[tuple[int, int]] = []
        heads: list[bytes] = []
        tails: list[bytes] = []
        position = run = start
        passed = 0
        try:
            while position < end:
                at = position + 2
                if data[position] == tag:
                    size = data[position + 1]
                    if size > 127:
                        size, at = read_varint(data, position + 1)
                    stop = at + size
                else:
                    found, at, stop = _field(data, position)
                    if found != tag:
                        passed += 1
                        position = stop
                        if passed % _STEP == 0:
                            self._count(_STEP)
                        continue
                if stop > end:
                    break
                if run < position:
                    (tails if spans else heads).append(data[run:position])
                spans.append((at, stop))
                position = run = stop
                if len(spans) % _STEP == 0:
                    self._count(_STEP)
                    self.charge(_STEP * SPAN_COST)
        except IndexError:
            raise _cut_short() from None
        if position != end:
            raise _cut_short()
        if run < end:
            (tails if spans else heads).append(data[run:end])
        self._count(1 + passed % _STEP + len(spans) % _STEP)
        self.charge(len(spans) % _STEP * SPAN_COST)
        return Message(b"".join(heads), spans, b"".join(tails))

    def _count(self, fields: int) -> None:
        self._left -= fields
        if self._left < 0:
            raise TooLarge(
                f"the body has more than {MAX_FIELDS:,} fields", advice="send less at once"
            )


def cut(data: bytes, path: Sequence[int], grow: Grow) -> list[bytes]:
    """Cuts a message into messages with one record each.

    `path` is the way to the records: the number of the repeated field in the message, of the
    repeated field in that one, and so on. Each result repeats what stands around its record: all
    the other fields on the way to it. Raises InputError, TooLarge, Overloaded.
    """
    records: list[bytes] = []
    _descend(Walk(data, grow), 0, len(data), tuple(path), (), records)
    return records


Level = tuple[bytes, int, bytes]
"""What stands around one field of a message: the fields before it, its number, those after it."""


def _descend(
    walk: Walk,
    start: int,
    end: int,
    path: tuple[int, ...],
    around: tuple[Level, ...],
    records: list[bytes],
) -> None:
    head, spans, tail = walk.split(start, end, path[0])
    if not spans:
        return
    levels = (*around, (head, path[0], tail))
    if len(path) > 1:
        walk.charge(len(head) + len(tail))
        for begin, stop in spans:
            if begin < stop:
                _descend(walk, begin, stop, path[1:], levels, records)
    else:
        _wrap(walk, spans, levels, records)


def _wrap(
    walk: Walk, spans: list[tuple[int, int]], levels: tuple[Level, ...], records: list[bytes]
) -> None:
    """Adds each record with what stands around it."""
    data = walk.data
    tail = b"".join(after for _, _, after in reversed(levels))
    copied = sum(len(before) + 6 for before, _, _ in levels) + len(tail)
    walk.charge(len(spans) * (RECORD_COST + copied) + sum(stop - begin for begin, stop in spans))
    prefixes: dict[int, bytes] = {}
    for begin, stop in spans:
        prefix = prefixes.get(stop - begin)
        if prefix is None:
            prefix = _prefix(levels, stop - begin)
            if copied <= _CACHED_BYTES and len(prefixes) < _CACHED_PREFIXES:
                prefixes[stop - begin] = prefix
        records.append(prefix + data[begin:stop] + tail)


def _prefix(levels: tuple[Level, ...], size: int) -> bytes:
    """What stands before a record of so many bytes, from the outermost message to its length."""
    prefix = b""
    for head, number, tail in reversed(levels):
        intro = head + bytes((number << 3 | _LENGTH,)) + varint(size)
        prefix = intro + prefix
        size += len(intro) + len(tail)
    return prefix


def varint(value: int) -> bytes:
    """Returns an unsigned number as a varint."""
    septets = bytearray()
    while value > 127:
        septets.append(value & 127 | 128)
        value >>= 7
    septets.append(value)
    return bytes(septets)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Returns the number at a place, of 64 bits at most, and the place after it.

    Raises InputError where it is longer, IndexError where the bytes end.
    """
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise InputError("the body is not protobuf: a number of more than 10 bytes")
    if value >> 64:
        raise InputError("the body is not protobuf: a number of more than 64 bits")
    return value, position


def _field(data: bytes, position: int) -> tuple[int, int, int]:
    """Returns the tag of the field at a place, where its contents begin, and the place after it.

    Raises InputError where there can be no such field, IndexError where the bytes end.
    """
    tag, at = read_varint(data, position)
    if not 1 <= tag >> 3 <= _LARGEST_NUMBER:
        raise InputError(f"the body is not protobuf: a field with the number {tag >> 3}")
    kind = tag & 7
    if kind == _LENGTH:
        size, at = read_varint(data, at)
        return tag, at, at + size
    if kind == _VARINT:
        return tag, at, read_varint(data, at)[1]
    if kind == _FIXED64:
        return tag, at, at + 8
    if kind == _FIXED32:
        return tag, at, at + 4
    raise InputError(f"the body is not protobuf: a field of the wire type {kind}")


def _cut_short() -> InputError:
    return InputError("the body is not protobuf: a field is longer than what it stands in")
