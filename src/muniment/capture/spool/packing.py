"""From the records of a put to frames of the spool: cut into parcels, numbered, chained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from muniment import kernel
from muniment.capture.chain import next_head, payload_of
from muniment.capture.parcel import Parcel, encode
from muniment.capture.snapshot import Json
from muniment.capture.spool.frames import Frame
from muniment.capture.spool.ledger import Standing

PARCEL_RECORDS = 1 << 16


def frames_of(
    before: Standing,
    stream: str,
    source: str,
    records: Sequence[bytes],
    about: Mapping[str, str] | None,
    position: Mapping[str, Json] | None,
    parcel_bytes: int,
) -> list[Frame]:
    """Returns the frames of one put, which belong together; the last one has the position.

    Without records it is one frame for the position, and none where there is no position either.
    """
    seq, head = before.next, before.head
    made: list[Frame] = []
    pieces = pieces_of(records, parcel_bytes)
    for number, piece in enumerate(pieces, 1):
        payload = payload_of(piece)
        parcel = Parcel(stream, seq, head.hex(), source, piece, about or {})
        head = next_head(head, seq, len(piece), payload)
        sent = kernel.compress(encode(parcel, payload))
        last = number == len(pieces)
        at = position if last else None
        made.append(Frame(stream, seq, len(piece), head, sent, at, more=not last))
        seq += len(piece)
    if not pieces and position is not None:
        made.append(Frame(stream, seq, 0, head, b"", position))
    return made


def pieces_of(records: Sequence[bytes], most: int) -> list[Sequence[bytes]]:
    """Returns records in pieces of about `most` bytes and PARCEL_RECORDS records, in order."""
    if len(records) <= PARCEL_RECORDS and sum(map(len, records)) <= most:
        return [records] if records else []
    pieces: list[Sequence[bytes]] = []
    start = size = 0
    for number, record in enumerate(records):
        if number > start and (size + len(record) > most or number - start >= PARCEL_RECORDS):
            pieces.append(records[start:number])
            start, size = number, 0
        size += len(record)
    pieces.append(records[start:])
    return pieces
