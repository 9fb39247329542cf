"""What is missing: counters against entries, numbers of streams, and the records of both."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from muniment.api import schemas
from muniment.api.context import Context, context_of
from muniment.api.read import may_read, only_known_parameters
from muniment.api.search import instant
from muniment.watch import Completeness
from muniment.watch.beginning import OWN
from muniment.watch.records import fields_of, instant_text

MAX_GAPS = 1_000
DAY = timedelta(days=1)

router = APIRouter(
    tags=["search"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


class Entry(BaseModel):
    """Where an entry stands in its log."""

    shard: str
    index: int


class Instance(BaseModel):
    """One counter of one instance."""

    instance: str
    name: str
    sender: str = Field(description="who tells the counter")
    match: str = Field(description="the query that finds the entries of what is counted")
    served: int = Field(description="what it said last that has been compared with entries")
    looked: str = Field(description="when that was")
    missing: int = Field(description="entries that are missing now")
    surplus: int = Field(description="entries beyond what was served")
    problem: str = Field(description="why entries cannot be counted; empty where they can")


class Numbers(BaseModel):
    """The numbers of one captured stream, as far as they were followed."""

    stream: str
    sender: str
    first: int
    last: int
    missing: int
    repeated: int


class Gap(BaseModel):
    """A record of completeness, with what it says and where it stands."""

    action: str
    time: str
    resource: str
    message: str
    missing: int = 0
    entry: Entry


class CompletenessAnswer(BaseModel):
    """What is known of what is missing."""

    following: bool = Field(description="whether it is followed: false where it is switched off")
    trouble: str = Field(description="what keeps it from being followed now")
    instances: list[Instance]
    streams: list[Numbers]
    gaps: list[Gap] = Field(description="newest first, 1,000 at most; all members of the record")
    more: bool = Field(description="there are more records than that")
    lag: int = Field(description="durable entries that cannot be searched yet")


@router.get(
    "/api/v1/logs/{log}/completeness",
    response_model=CompletenessAnswer,
    responses=schemas.problems(404, 429, 503),
)
async def completeness(
    request: Request,
    log: str,
    since: Annotated[
        str, Query(max_length=64, description="records from this instant on; a day by default")
    ] = "",
) -> Response:
    """Tells what is missing: by the counters of instances, and by the numbers of streams."""
    context = context_of(request)
    context.shards(log)
    start = instant("since", since)
    if start is None:
        start = int((context.clock.now() - DAY).timestamp() * 1000)
    found = await context.query.search(
        log, OWN, start=start, end=None, limit=MAX_GAPS, cursor=None, order="newest"
    )
    answer = {
        **_state(context, log),
        "gaps": [_gap(row) for row in found["rows"]],
        "more": bool(found["next"]),
        "lag": found["lag"],
    }
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")


def _state(context: Context, log: str) -> dict[str, Any]:
    follower = context.completeness.get(log)
    if follower is None:
        return {"following": False, "trouble": "", "instances": [], "streams": []}
    return {
        "following": True,
        "trouble": follower.trouble,
        "instances": list(_instances(follower)),
        "streams": [
            {
                "stream": key.stream,
                "sender": key.sender,
                "first": one.first,
                "last": one.last,
                "missing": one.lost,
                "repeated": one.repeated,
            }
            for key, one in sorted(follower.books.streams.items())
        ],
    }


def _instances(follower: Completeness) -> Iterator[dict[str, Any]]:
    for key, ledger in sorted(follower.books.ledgers.items()):
        look = ledger.compared
        yield {
            "instance": key.instance,
            "name": key.name,
            "sender": key.sender,
            "match": ledger.match,
            "served": look.served if look else 0,
            "looked": instant_text(look.time) if look else "",
            "missing": sum(segment.told for segment in ledger.all()),
            "surplus": ledger.surplus,
            "problem": follower.problems.get(key, ""),
        }


def _gap(row: dict[str, Any]) -> dict[str, Any]:
    fields = {"time": row["time_dt"], "resource": "", "message": "", **fields_of(row)}
    return fields | {"entry": {"shard": row["shard"], "index": row["index"]}}
