"""The batches of one group commit, joined into as few chunks as the bound allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from muniment.kernel import CHUNK_BYTES, Chunk
from muniment.log.batch import Batch
from muniment.log.frame import BatchId


def merge(batches: Sequence[Batch], first: int) -> Iterator[tuple[list[BatchId], Chunk]]:
    """Joins small chunks of consecutive batches into frames, each with the ids that begin in it.

    A chunk that is compressed already becomes a frame by itself.
    """
    ids: list[BatchId] = []
    held: list[Chunk] = []
    packed = 0
    for batch in batches:
        start = first
        for chunk in batch.chunks:
            if held and (chunk.compressed or packed + len(chunk.payload) > CHUNK_BYTES):
                yield ids, _join(held)
                ids, held, packed = [], [], 0
            if batch.id is not None and start == first:
                ids.append(BatchId(batch.id, first, batch.count))
            held.append(chunk)
            packed += CHUNK_BYTES if chunk.compressed else len(chunk.payload)
            first += chunk.count
    yield ids, _join(held)


def _join(chunks: Sequence[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    return Chunk(
        b"".join(chunk.payload for chunk in chunks),
        sum(chunk.count for chunk in chunks),
        b"".join(chunk.leaves for chunk in chunks),
    )
