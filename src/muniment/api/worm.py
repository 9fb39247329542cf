"""What the last check of a store's write-once promise found."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from muniment.api import schemas
from muniment.api.context import context_of
from muniment.api.read import may_read, only_known_parameters
from muniment.errors import NotFound

router = APIRouter(
    tags=["stores"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


class WormProbe(BaseModel):
    """One thing that was tried or looked at."""

    probe: str = Field(description="its name: the same in every check")
    tried: str
    must: str = Field(description="what must happen")
    happened: str
    verdict: str = Field(description="`kept`, `BROKEN`, or `not shown here`")
    key: str = Field(description="the object, where it is about one")


class WormAnswer(BaseModel):
    """The last check of a store."""

    store: str
    checked: bool = Field(description="whether there was a check; without one, only the next four")
    trouble: str = Field(description="why the last try of a check could not be made; or empty")
    interval: float = Field(description="seconds between checks")
    url: str = ""
    at: str = Field("", description="when it began")
    ok: bool = Field(False, description="nothing is broken")
    objects: int = Field(0, description="objects of logs in the store")
    looked_at: int = Field(0, description="objects whose lock was compared with the settings")
    repaired: int = Field(0, description="delete markers and later versions that were undone")
    left_out: int = Field(0, description="lines beyond the 1,000 that are kept")
    probes: list[WormProbe] = Field(default_factory=list)


@router.get(
    "/api/v1/stores/{name}/worm",
    response_model=WormAnswer,
    responses=schemas.problems(404),
)
async def worm(request: Request, name: str) -> Response:
    """Tells what the last `worm check` of a store on this node's schedule found."""
    watch = context_of(request).worm.get(name)
    if watch is None:
        raise NotFound(f"no store {name[:80]!r} is checked here")
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(watch.status()), headers=headers, media_type="application/json")
