"""The frames of a spool's segment: how parcels stand on disk, and where a torn end begins.

    segment = "muniment spool 1\\n" frame*
    frame   = uint32 length of body, CRC-32C of body, body          (numbers big-endian)
    body    = uint32 length of note, note (JSON), parcel (a zstd frame; nothing where count is 0)

The note has stream, seq, count, head (of the chain after the parcel) and, where the feed gave one,
`position`; `more` says that the next frame belongs to the same put, and that neither counts without
the other. What is no frame at the end of a segment was left by a crash, and nobody was told that it
is durable; a frame within it whose checksum is wrong was damaged since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from muniment import kernel
from muniment.capture.chain import HEAD_BYTES
from muniment.capture.parcel import MAX_COUNT, is_stream
from muniment.capture.snapshot import Json
from muniment.errors import Corrupt

BEGIN = b"muniment spool 1\n"
PREFIX = 8
NOTE = b'{"stream":"'
"""How each note begins."""

MAX_BODY = 64 << 20
MAX_NOTE = 16 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame says. `parcel` is compressed; empty where there is only a position."""

    stream: str
    seq: int
    count: int
    head: bytes
    parcel: bytes = b""
    position: Mapping[str, Json] | None = None
    more: bool = False

    @property
    def next(self) -> int:
        """The number that the stream's next record has."""
        return self.seq + self.count

    def encode(self) -> bytes:
        """Returns the frame as it stands on disk."""
        fields: dict[str, object] = {
            "stream": self.stream,
            "seq": self.seq,
            "count": self.count,
            "head": self.head.hex(),
        }
        if self.position is not None:
            fields["position"] = self.position
        if self.more:
            fields["more"] = True
        note = orjson.dumps(fields)
        body = b"".join([len(note).to_bytes(4, "big"), note, self.parcel])
        return b"".join(
            [len(body).to_bytes(4, "big"), kernel.crc32c(body).to_bytes(4, "big"), body]
        )


def body_length(prefix: bytes, file: str, at: int) -> int:
    """Returns how long the body after these PREFIX bytes is. Raises Corrupt."""
    length = int.from_bytes(prefix[:4], "big")
    if len(prefix) < PREFIX or not 4 < length <= MAX_BODY:
        raise Corrupt(file, at, "the beginning of a frame", prefix[:8].hex() or "nothing")
    return length


def decode(prefix: bytes, body: bytes, file: str, at: int) -> Frame:
    """Reads a frame whose beginning is `prefix`. Raises Corrupt for anything that is none."""
    length = body_length(prefix, file, at)
    if len(body) != length:
        raise Corrupt(file, at, f"a frame of {length:,} bytes", f"{len(body):,}")
    if kernel.crc32c(body).to_bytes(4, "big") != prefix[4:8]:
        raise Corrupt(file, at, "a frame that its checksum fits", "another checksum")
    end = 4 + int.from_bytes(body[:4], "big")
    if end > min(len(body), MAX_NOTE):
        raise Corrupt(file, at, "a note within its frame", f"one of {end:,} bytes")
    try:
        return _frame(orjson.loads(body[4:end]), body[end:])
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(file, at, "the note of a frame", str(error)[:100]) from error


def _frame(note: Any, parcel: bytes) -> Frame:
    if not isinstance(note, dict):
        raise TypeError("no object")
    stream, seq, count, head = note["stream"], note["seq"], note["count"], note["head"]
    position, more = note.get("position"), note.get("more", False)
    if not isinstance(stream, str) or not is_stream(stream):
        raise ValueError("stream")
    if type(seq) is not int or type(count) is not int or seq < 1 or not 0 <= count <= MAX_COUNT:
        raise ValueError("seq, count")
    if not isinstance(more, bool) or not (position is None or isinstance(position, dict)):
        raise TypeError("position, more")
    chain = bytes.fromhex(head)
    if len(chain) != HEAD_BYTES or (count > 0) != bool(parcel):
        raise ValueError("head, parcel")
    return Frame(stream, seq, count, chain, parcel, position, more)


def whole_puts(data: Iterator[tuple[Frame, int]]) -> Iterator[tuple[list[Frame], int]]:
    """Yields the frames of each put that is whole, with the offset after it."""
    open_: list[Frame] = []
    for frame, end in data:
        open_.append(frame)
        if not frame.more:
            yield open_, end
            open_ = []
