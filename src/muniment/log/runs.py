"""Runs of consecutive entries, as a reader gives them: one by one, or packed as in their frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muniment.log.frame import BatchId, Frame


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries: `entries[0]` has the index `first`."""

    first: int
    entries: list[bytes]


@dataclass(frozen=True, slots=True)
class PackedRun:
    """Consecutive entries as (uint16 big-endian length || entry)*; the first has index `first`.

    `ids` are the batches with an id that begin among them.
    """

    first: int
    count: int
    payload: bytes
    ids: tuple[BatchId, ...] = ()

    @classmethod
    def of(cls, frame: Frame, start: int) -> PackedRun:
        """Returns the entries of a frame from `start` on, which is one of them."""
        skipped = start - frame.first
        ids = tuple(batch for batch in frame.ids if batch.first >= start)
        return cls(start, frame.count - skipped, _without(frame.payload, skipped), ids)


def pack(entries: Sequence[bytes]) -> bytes:
    """Returns entries as (uint16 big-endian length || entry)*."""
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def _without(payload: bytes, entries: int) -> bytes:
    """Returns a packed payload without its first entries."""
    offset = 0
    for _ in range(entries):
        offset += 2 + int.from_bytes(payload[offset : offset + 2], "big")
    return payload[offset:]
