"""A message of the forward protocol taken apart: its mode, its options, its events.

The modes of the Forward Protocol Specification v1: Message `[tag, time, record, option]`, Forward
`[tag, [[time, record], …], option]`, PackedForward `[tag, text, option]` where the text holds the
events end to end, and CompressedPackedForward, the same compressed. Each event becomes an entry
`[tag, time, record]` in Message mode, made of the bytes as they came. The time may be an array of
the time and metadata, as Fluent Bit sends it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha512

from msgpack import OutOfData, Unpacker, unpackb
from msgpack.exceptions import UnpackException

from muniment.errors import InputError, TooLarge
from muniment.receive.coding import Coding, decode
from muniment.receive.forward.wire import array_span, is_array, is_text, text_of, why

MAX_CHUNK_ID = 512
"""Bytes of a chunk's id; Fluent Bit reads an answer of less than 512 bytes."""

MAX_OPTION = 64 << 10
MAX_OPTIONS = 64
MAX_MEMBERS = 1 << 18
"""Fluentd adds a gzip member to its chunk for each append."""

EVENT_COST = 300
"""Bytes of memory that an event costs beside its own and its tag: a receipt header, a hash."""

PIECE_BYTES = 4 << 20
"""Events are given out in pieces of about so much, so that they need not all exist at once."""

MAX_ABOUT = 8
_MAX_ABOUT_TEXT = 256
_TRIPLE, _PAIR = b"\x93", b"\x92"
_SIGNALS = {1: "metrics", 2: "traces", 3: "blobs", 4: "profiles"}
_CODINGS = {b"gzip": Coding.GZIP, b"zstd": Coding.ZSTD, b"text": Coding.IDENTITY}


class Mode(Enum):
    """How a message carries its events."""

    MESSAGE = "Message"
    FORWARD = "Forward"
    PACKED = "PackedForward"


@dataclass(frozen=True, slots=True)
class Option:
    """What a message says beside its events.

    `chunk` asks for an acknowledgement; `metadata` is the msgpack map that Fluent Bit puts here in
    Message mode, or empty; `about` are further options whose values are texts.
    """

    chunk: bytes | None = None
    coding: Coding = Coding.IDENTITY
    metadata: bytes = b""
    about: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `tag` and `events` are msgpack as it came, `size` counts all of its bytes."""

    mode: Mode
    tag: bytes
    events: Sequence[bytes]
    option: Option
    size: int

    @classmethod
    def of(cls, elements: Sequence[bytes]) -> Message:
        """Reads a message's elements; its events are not looked at yet. Raises InputError."""
        mode, place = _mode(elements), 2
        if mode is Mode.MESSAGE:
            place = 3
        if not place <= len(elements) <= place + 1:
            raise InputError(f"{mode.value} mode does not have {len(elements)} elements")
        text_of(elements[0])
        option = _option(elements[place]) if len(elements) > place else Option()
        return cls(mode, elements[0], elements[1:place], option, sum(map(len, elements)))

    def content(self, limit: int) -> bytes:
        """The events end to end, as they came, unpacked to at most `limit` bytes.

        Raises InputError and TooLarge.
        """
        if self.mode is Mode.MESSAGE:
            time, record = self.events
            if self.option.metadata and not is_array(time[0]):
                time = _PAIR + time + self.option.metadata
            return _PAIR + time + record
        (body,) = self.events
        if self.mode is Mode.FORWARD:
            found = array_span(body)
            assert found is not None  # the value is whole
            return body[found[1] :]
        packed = text_of(body)
        if self.option.coding is Coding.IDENTITY:
            return packed
        return decode(self.option.coding, packed, limit, _free, members=MAX_MEMBERS)

    def entries(self, content: bytes, limit: int) -> Iterator[list[bytes]]:
        """Yields the entries of its content, piece by piece.

        `limit` bounds what they cost in memory all together. Raises InputError and TooLarge, also
        after the first pieces: the message is then bad as a whole.
        """
        if self.mode is Mode.MESSAGE:
            yield [_TRIPLE + self.tag + content[1:]]
        else:
            yield from _cut(content, self.tag, limit)

    def is_named_by(self, content: bytes) -> bool:
        """Whether its chunk id is a digest of the events, as Fluent Bit makes it.

        The same events in another chunk have the same id then, so that it does not tell a
        repetition from an equal one.
        """
        chunk = self.option.chunk or b""
        if len(chunk) not in (24, 32):  # base64, and in old versions hex, of 16 bytes
            return False
        hashed = [content]
        if self.mode is Mode.MESSAGE and not is_array(content[1]):
            time, record = self.events
            hashed.append(_PAIR + _PAIR + time + b"\x80" + record)  # as it stands in Fluent Bit
        digests = [sha512(data).digest()[:16] for data in hashed]
        return any(chunk in (b64encode(one), one.hex().encode()) for one in digests)


def _mode(elements: Sequence[bytes]) -> Mode:
    second = elements[1]
    if is_text(second[0]):
        return Mode.PACKED
    found = array_span(second) if is_array(second[0]) else None
    if found is not None and (not found[0] or is_array(second[found[1]])):
        return Mode.FORWARD
    return Mode.MESSAGE


def _free(_: int) -> None:
    """What is unpacked counts against the limit alone."""


def _cut(events: bytes, tag: bytes, limit: int) -> Iterator[list[bytes]]:
    """Cuts events that stand end to end, without building an object of any."""
    head, cost = _TRIPLE + tag, len(tag) + EVENT_COST
    unpacker = Unpacker(max_buffer_size=len(events) or 1, read_size=1)
    skip, tell = unpacker.skip, unpacker.tell
    begin, fed, size = 0, 0, len(events)
    piece: list[bytes] = []
    room, left = limit, PIECE_BYTES
    view = memoryview(events)
    while begin < size:
        try:
            skip()
        except OutOfData:
            if fed == size:
                raise InputError("the events are cut short") from None
            unpacker.feed(view[fed : fed + PIECE_BYTES])
            fed = min(fed + PIECE_BYTES, size)
            continue
        except (UnpackException, ValueError) as error:
            raise InputError(f"an event is not msgpack: {why(error)}") from None
        end = tell()
        start = begin + 1 if events[begin] == 0x92 else _inside(events, begin)
        piece.append(head + events[start:end])
        room -= end - begin + cost
        left -= end - begin + cost
        begin = end
        if room < 0:
            raise TooLarge(f"the events of a message take more than {limit:,} bytes")
        if left < 0:
            yield piece
            piece, left = [], PIECE_BYTES
    if piece:
        yield piece


def _inside(events: bytes, begin: int) -> int:
    """Where the two values of an event begin, however its head is written."""
    found = array_span(events, begin) if is_array(events[begin]) else None
    if found is None or found[0] != 2:
        raise InputError("an event is not an array of a time and a record")
    return found[1]


def _option(element: bytes) -> Option:
    """Reads the option: a map, or nil, which old senders put for none."""
    if element == b"\xc0":
        return Option()
    if len(element) > MAX_OPTION:
        raise TooLarge(f"an option of more than {MAX_OPTION:,} bytes")
    values: dict[bytes, bytes] = {}
    for key, value in _pairs(element):
        if is_text(key[0]):
            values[text_of(key)] = value
    signal = _whole(values.pop(b"fluent_signal", b"\0"))
    if signal:
        raise InputError(f"{_SIGNALS.get(signal, f'signal {signal}')} are no logs: send logs only")
    values.pop(b"size", None)  # events to some senders, bytes to others; a hint to all
    chunk = values.pop(b"chunk", b"\xc0")
    coding = values.pop(b"compressed", b"\xc0")
    metadata = values.pop(b"metadata", b"\xc0")
    return Option(
        None if chunk == b"\xc0" else _chunk(text_of(chunk)),
        Coding.IDENTITY if coding == b"\xc0" else _coding(text_of(coding)),
        metadata if _is_map(metadata[0]) and metadata != b"\x80" else b"",
        tuple(_about(values)),
    )


def _pairs(element: bytes) -> Iterator[tuple[bytes, bytes]]:
    unpacker = Unpacker(max_buffer_size=MAX_OPTION, read_size=1)
    unpacker.feed(element)
    try:
        count = unpacker.read_map_header()
        if count > MAX_OPTIONS:
            raise TooLarge(f"more than {MAX_OPTIONS} options")
        for _ in range(count):
            places = [unpacker.tell()]
            for _ in range(2):
                unpacker.skip()
                places.append(unpacker.tell())
            yield element[places[0] : places[1]], element[places[1] : places[2]]
    except (UnpackException, ValueError):
        raise InputError("the option is no map") from None


def _whole(value: bytes) -> int:
    """An integer; anything else counts as one that nobody has heard of."""
    if value[0] <= 0x7F or 0xCC <= value[0] <= 0xD3 or value[0] >= 0xE0:
        return int(unpackb(value))
    return -1


def _chunk(chunk: bytes) -> bytes:
    if len(chunk) > MAX_CHUNK_ID:
        raise TooLarge(f"a chunk id of more than {MAX_CHUNK_ID} bytes")
    return chunk


def _coding(name: bytes) -> Coding:
    if name in _CODINGS:
        return _CODINGS[name]
    shown = name[:40].decode("utf-8", "replace")
    raise InputError(f"compressed as {shown!r}: send gzip, zstd or text")


def _is_map(first: int) -> bool:
    return 0x80 <= first <= 0x8F or first in (0xDE, 0xDF)


def _about(values: dict[bytes, bytes]) -> Iterator[tuple[str, str]]:
    """Further options, as far as they are short texts."""
    texts = [(key, text_of(value)) for key, value in values.items() if is_text(value[0])]
    short = [pair for pair in texts if all(len(text) <= _MAX_ABOUT_TEXT for text in pair)]
    for key, value in short[:MAX_ABOUT]:
        yield key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
