"""The files of a shard as they are, for who mirrors it: segments, up to their last durable byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from muniment.api import schemas
from muniment.api.context import context_of
from muniment.api.ports import Shard
from muniment.api.read import MAX_INDEX, lasting, may_read, only_known_parameters
from muniment.errors import Overloaded
from muniment.log.raw import RawSegment, RawSegments

MAX_BYTES = 8 << 20
"""Bytes of one answer."""

MAX_WAIT = 30.0
MAX_WAITING = 1_000
"""Answers that wait for more at the same time."""

POLL_SECONDS = 0.02
LOOK_SECONDS = 0.5
"""Between looks whether who waits is still there."""

_PIECE = 1 << 20

router = APIRouter(
    tags=["mirrors"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


class Segment(BaseModel):
    """A segment of a shard."""

    first: int = Field(description="index of its first entry: its name")
    length: int = Field(description="durable bytes")
    ended: bool = Field(description="it is sealed, or was given up: no more bytes will come")


class Segments(BaseModel):
    """What can be fetched of a shard."""

    log: str
    shard: str
    verifier: str = Field(description="verifier key (C2SP signed-note)")
    size: int = Field(description="durable entries")
    minimum: int = Field(description="the first entry that has not expired")
    segments: list[Segment]


@router.get(
    "/api/v1/logs/{log}/shards/{shard}/segments",
    response_model=Segments,
    responses=schemas.problems(404, 503),
)
def list_segments(request: Request, log: str, shard: str) -> Response:
    """Lists the segments of a shard, in order, with the bytes of each that are durable."""
    found = context_of(request).shard(log, shard)
    answer = {
        "log": log,
        "shard": shard,
        "verifier": found.verifier,
        "size": found.size,
        "minimum": found.reader.minimum,
        "segments": [
            {"first": one.first, "length": one.length, "ended": one.ended}
            for one in found.raw.all()
        ],
    }
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")


@router.get(
    "/api/v1/logs/{log}/shards/{shard}/segments/{first}",
    response_class=Response,
    responses=schemas.answers(schemas.binary("bytes of the segment file"), 404, 410, 429, 503),
)
async def get_segment(
    request: Request,
    log: str,
    shard: str,
    first: Annotated[int, Path(ge=0, le=MAX_INDEX, description="index of its first entry")],
    start: Annotated[
        int, Query(alias="from", ge=0, le=MAX_INDEX, description="the byte to begin with")
    ] = 0,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT, description="seconds to wait for a byte, where none is")
    ] = 0.0,
) -> Response:
    """Returns bytes of a segment file from an offset on, 8 MiB at most; durable ones only.

    `Muniment-Segment-Length` says how many bytes are durable, `Muniment-Segment-Ended` whether
    more will come, `Muniment-Shard-Size` how many entries the shard has. The segment that would
    begin with the next entry is there, and empty. Where there is nothing behind the offset, the
    answer waits.
    """
    context = context_of(request)
    found = context.shard(log, shard)
    segment = await _awaited(request, found, first, start, wait)
    length = max(0, min(MAX_BYTES, segment.length - start))
    headers = {
        "muniment-segment-length": str(segment.length),
        "muniment-segment-ended": "true" if segment.ended else "false",
        "muniment-shard-size": str(found.size),
        "content-length": str(length),
        **(lasting(context) if segment.ended and length else {"cache-control": "no-store"}),
    }
    return StreamingResponse(
        _bytes(found.raw, segment, start, length),
        headers=headers,
        media_type="application/octet-stream",
    )


async def _awaited(
    request: Request, shard: Shard, first: int, start: int, wait: float
) -> RawSegment:
    """Returns the segment once it has a byte behind `start`, has ended, or the time is over.

    Who has gone waits no more: the places are for all.
    """
    context, end = context_of(request), shard.raw.end
    segment = await _segment(shard, first)
    if segment.length > start or segment.ended or not wait:
        return segment
    if context.meters.waiting >= MAX_WAITING:
        raise Overloaded(f"{MAX_WAITING} answers wait for more already", retry_after=2)
    context.meters.waiting += 1
    try:
        deadline = context.clock.monotonic() + wait
        look = context.clock.monotonic() + LOOK_SECONDS
        while (now := context.clock.monotonic()) < deadline and not context.stopping.is_set():
            if now >= look:
                look = now + LOOK_SECONDS
                if await request.is_disconnected():
                    break
            await asyncio.sleep(POLL_SECONDS)
            if shard.raw.end == end:
                continue
            end = shard.raw.end
            segment = await _segment(shard, first)
            if segment.length > start or segment.ended:
                break
    finally:
        context.meters.waiting -= 1
    return segment


async def _segment(shard: Shard, first: int) -> RawSegment:
    raw = shard.raw
    if first == raw.end.segment:
        return raw.segment(first)
    return await asyncio.to_thread(raw.segment, first)


async def _bytes(
    raw: RawSegments, segment: RawSegment, start: int, length: int
) -> AsyncIterator[bytes]:
    """The bytes piece by piece. Where one cannot be read, the connection breaks off."""
    offset = start
    while offset < start + length:
        most = min(_PIECE, start + length - offset)
        piece = await asyncio.to_thread(partial(raw.read, segment, offset, most))
        if not piece:
            raise OSError(f"the segment {segment.first} ends at byte {offset}")
        yield piece
        offset += len(piece)
