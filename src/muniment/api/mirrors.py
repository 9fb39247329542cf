"""The mirrors of a node: what it holds of the shards of others, and what proves it."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from muniment.api.context import context_of
from muniment.api.read import may_read, only_known_parameters

router = APIRouter(
    tags=["mirrors"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


class Mirror(BaseModel):
    """A mirrored shard, or one that cannot be mirrored."""

    log: str
    shard: str
    state: str = Field(
        description="`following`; `waiting`: no source answers now; `untrusted`: all sources "
        "showed what does not hold; `refused`: it could not be begun; `damaged`: stopped, for its "
        "key has signed two histories, or the files here do not hold"
    )
    size: int = Field(description="entries that are durable here")
    root: str = Field(description="the root of the tree over them, in hex")
    checkpoint: str = Field(description="the newest signed checkpoint (C2SP), of that size")
    source: str = Field(description="where it is pulled from")
    lag: int = Field(description="entries that a source has and this mirror has not")
    lag_seconds: float = Field(description="how long the first of them has been known of")
    entries: int = Field(description="entries mirrored since the start")
    bytes: int = Field(description="bytes mirrored since the start")
    failures: dict[str, int] = Field(
        description="since the start by reason: `unreachable`, `damaged` (spoilt bytes), "
        "`refused-source` (whole, and not under the shard's key), `expired`, `disk`, `settings`, "
        "`contradiction`, `fault`"
    )
    problem: str = Field(description="what is wrong, in words; empty where nothing is")


class MirrorsAnswer(BaseModel):
    """The mirrors; none where the node has none."""

    mirrors: list[Mirror]


@router.get("/api/v1/mirrors", response_model=MirrorsAnswer)
def mirrors(request: Request) -> Response:
    """Tells what is mirrored here, how far behind it is, and what is wrong. Asks no other node."""
    found = context_of(request).mirrors
    answer = {"mirrors": [asdict(one) for one in found.status()] if found is not None else []}
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")
