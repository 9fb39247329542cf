"""The fleet over HTTP: what this node says of itself, and who else it knows."""

from __future__ import annotations

import asyncio

import orjson
from fastapi import APIRouter, Depends, Request, Response

from muniment.api import fleet_schemas as answers
from muniment.api import schemas
from muniment.api.context import context_of
from muniment.api.read import may_read
from muniment.errors import NotFound
from muniment.fleet.everywhere import kept_everywhere

router = APIRouter(dependencies=[Depends(may_read)], tags=["fleet"])

_FRESH = {"cache-control": "no-store"}


@router.get("/api/v1/node", response_model=answers.Member, responses=schemas.problems(404))
async def node(request: Request) -> Response:
    """Says who this node is: its roles, state and place, its shards with their sizes and keys."""
    own = context_of(request).own
    if own is None:
        raise NotFound("this server says nothing of itself")
    body = await asyncio.to_thread(lambda: own.member().encode())
    return Response(body, media_type="application/json", headers=_FRESH)


@router.get("/api/v1/members", response_model=answers.Members)
async def members(request: Request) -> Response:
    """Lists the other nodes of the fleet, as they last told of themselves.

    One that has been silent for too long is `lost`. A node that stands alone knows of none.
    """
    membership = context_of(request).membership
    known = [] if membership is None else [one.encode() for one in membership.members()]
    body = b'{"members":[%b]}' % b",".join(known)
    return Response(body, media_type="application/json", headers=_FRESH)


@router.get("/api/v1/everywhere", response_model=answers.Everywhere)
async def everywhere(request: Request) -> Response:
    """Lists the logs of the whole fleet: where each is kept, and how much of it there is.

    No entry moves for it. A log that is kept elsewhere is read there, where its residency holds.
    """
    context = context_of(request)
    known = list(context.membership.members()) if context.membership is not None else []
    if context.own is not None:
        known.append(await asyncio.to_thread(context.own.member))
    logs = [
        {
            "name": name,
            "residency": kept.residency,
            "entries": kept.entries,
            "shards": len(kept.sizes),
            "here": name in context.logs,
            "ask": kept.places,
        }
        for name, kept in sorted(kept_everywhere(known).items())
    ]
    return Response(orjson.dumps({"logs": logs}), media_type="application/json", headers=_FRESH)
