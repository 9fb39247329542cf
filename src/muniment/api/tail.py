"""The live tail: rows as server-sent events, from now on or from where a client left off.

The id of an event names the place of every shard, the event's own first: `<shard>:<index>`, and
after a comma each other shard of the log. Whoever comes back with it in `Last-Event-ID` misses
nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from muniment.api import schemas
from muniment.api.context import Context, context_of
from muniment.api.ports import Answer
from muniment.api.read import may_read, only_known_parameters
from muniment.api.receiving import header
from muniment.api.search import Text
from muniment.errors import InputError, Overloaded, TryLater

PING_SECONDS = 10.0
PAGE = 500
MAX_ID = 65_536
RETRY_MILLISECONDS = 1_000

_PLACE = re.compile(r"([a-z0-9._-]{1,64}):(-1|0|[1-9][0-9]{0,17})", re.ASCII)

router = APIRouter(
    tags=["search"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


@router.get(
    "/api/v1/logs/{log}/tail",
    response_class=Response,
    responses=schemas.answers(
        schemas.text("events named `entry`: `id` is `<shard>:<index>`", "text/event-stream"),
        404,
        429,
        503,
    ),
)
async def tail(
    request: Request,
    log: str,
    q: Text = "",
    after: Annotated[
        str, Query(max_length=MAX_ID, description="as Last-Event-ID, which goes before it")
    ] = "",
) -> Response:
    """Follows new events that match, as server-sent events, until the client goes.

    A comment comes at least every ten seconds. What was missed since `Last-Event-ID` comes first.
    """
    context = context_of(request)
    context.shards(log)
    places = read_places(header(request.scope, b"last-event-id") or after)
    if context.meters.tails >= context.limits.tails:
        raise Overloaded(f"{context.limits.tails} live tails are open", retry_after=10)
    # The first page is asked for before the answer begins, so that a wrong query is a problem.
    first = await context.query.tail(log, q, after=places, limit=PAGE, wait=0)
    return _Tail(context, _stream(context, log, q, first))


class _Tail(StreamingResponse):
    """The stream, counted for as long as it is open."""

    def __init__(self, context: Context, events: AsyncIterator[bytes]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._meters = context.meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._meters.tails += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._meters.tails -= 1


async def _stream(context: Context, log: str, q: str, page: Answer) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MILLISECONDS}\n: the tail of {log}\n\n".encode()
    places: dict[str, int] = {}
    while True:
        for event in _events(page, places):
            yield event
        places = dict(page["after"])
        if context.stopping.is_set():
            return
        found = await _next_page(context, log, q, places)
        if found is None:
            yield b": ping\n\n"
        page = found or {"rows": [], "after": places}


async def _next_page(context: Context, log: str, q: str, places: dict[str, int]) -> Answer | None:
    """Returns the next page; None when a ping is due, or when the node stops."""
    asked = asyncio.ensure_future(
        context.query.tail(log, q, after=places, limit=PAGE, wait=PING_SECONDS)
    )
    stopped = asyncio.ensure_future(context.stopping.wait())
    try:
        await asyncio.wait({asked, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            return None
        page = asked.result()
        return page if page["rows"] else None
    except TryLater as error:
        await asyncio.wait({stopped}, timeout=error.retry_after)
        return None
    finally:
        asked.cancel()
        stopped.cancel()


def _events(page: Answer, places: dict[str, int]) -> Iterator[bytes]:
    places = {**page["after"], **_before(page["rows"]), **places}
    for row in page["rows"]:
        places[row["shard"]] = row["index"]
        id_ = write_places(places, row["shard"])
        yield b"event: entry\nid: %s\ndata: %s\n\n" % (id_.encode(), orjson.dumps(row))


def _before(rows: list[dict[str, Any]]) -> dict[str, int]:
    """The place before the first row of each shard."""
    found: dict[str, int] = {}
    for row in rows:
        found.setdefault(row["shard"], row["index"] - 1)
    return found


def write_places(places: Mapping[str, int], first: str) -> str:
    """Returns the id of an event of the shard `first`."""
    others = [f"{shard}:{index}" for shard, index in places.items() if shard != first]
    return ",".join([f"{first}:{places[first]}", *others])


def read_places(text: str) -> dict[str, int]:
    """Reads the id of an event. Raises InputError."""
    if not text:
        return {}
    places: dict[str, int] = {}
    for part in text[:MAX_ID].split(","):
        found = _PLACE.fullmatch(part.strip())
        if found is None:
            raise InputError(
                f"{part[:80]!r} is no place in a log", advice="send back the id of an event"
            )
        places[found[1]] = int(found[2])
    return places
