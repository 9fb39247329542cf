"""The stores of a node: how far behind each is, what failed, and what is in the store only."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from muniment.api import schemas
from muniment.api.context import context_of
from muniment.api.read import may_read, only_known_parameters

router = APIRouter(
    tags=["stores"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


class Lag(BaseModel):
    """How far a store is behind one shard, or behind the attachments of a log."""

    log: str
    shard: str = Field(description="`attachments` for those of the log")
    waiting: int = Field(description="segments or attachments that the store has not confirmed")
    waiting_bytes: int
    oldest: float = Field(description="seconds since the first of them was sealed")
    objects: int = Field(description="objects confirmed since the start")
    bytes: int = Field(description="their bytes")


class Conflict(BaseModel):
    """An object that is not what it must be, in the store or on the local disk."""

    log: str
    shard: str
    name: str = Field(description="first index of a segment, `verifier`, or an attachment's hash")
    detail: str


class Store(BaseModel):
    """One store."""

    name: str
    url: str
    primary: bool = Field(description="what it has confirmed may be evicted here")
    lock: str = Field(description="`compliance`, `governance` or `off`")
    lags: list[Lag]
    failures: dict[str, int] = Field(
        description="failed tries since the start by reason: `unreachable`, `slow`, `busy`, "
        "`full`, `credentials`, `refused`, `local`, `evidence` or `fault`"
    )
    conflicts: list[Conflict]
    last_error: str
    failing_since: str = Field(description="empty while it does what is asked")
    trouble: str = Field(description="why not all is well, in words; empty where it is")


class Evicted(BaseModel):
    """What of one shard is in the primary store only."""

    log: str
    shard: str
    segments: int
    bytes: int


class StoresAnswer(BaseModel):
    """The stores, the primary first; none where the node has none."""

    stores: list[Store]
    evicted: list[Evicted]


@router.get("/api/v1/stores", response_model=StoresAnswer, responses=schemas.problems(503))
async def stores(request: Request) -> Response:
    """Tells what waits for each store, what failed, and what was evicted. Asks no store."""
    archive = context_of(request).archive
    answer: dict[str, object] = {"stores": [], "evicted": []}
    if archive is not None:
        answer = asdict(archive.status())
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")
