"""Tokens over HTTP, for who may manage access: each change stands in the log before it is made."""

from __future__ import annotations

import asyncio

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from muniment.access import Caller
from muniment.access import Scope as Right
from muniment.access.shared import Change
from muniment.access.tokens import TokenRecord
from muniment.api import schemas
from muniment.api.context import Context, context_of
from muniment.clock import rfc3339
from muniment.errors import InputError, NotFound, UnknownLog
from muniment.log import Batch
from muniment.receive.durable import durable
from muniment.receive.groups import pack_records
from muniment.receive.header import Origin
from muniment.receive.sockets import peer_text
from muniment.receive.target import Target

_FRESH = {"cache-control": "no-store"}


def may_manage(request: Request) -> None:
    """Raises Forbidden unless the caller may manage access."""
    request.scope["state"]["caller"].require(Right.ADMIN)


router = APIRouter(dependencies=[Depends(may_manage)], tags=["access"])


class NewToken(BaseModel):
    """What a token is to be."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="stands as `from` in the receipt header of what it writes")
    scopes: list[Right] = Field(min_length=1)
    log: str = Field("", description="the one log that it may write to")


@router.get("/api/v1/tokens", response_model=schemas.Tokens)
async def list_tokens(request: Request) -> Response:
    """Lists the tokens: what they may do, not what they are."""
    found = [_shown(record) for record in context_of(request).tokens.records]
    return Response(orjson.dumps({"tokens": found}), media_type="application/json", headers=_FRESH)


@router.post(
    "/api/v1/tokens",
    status_code=201,
    response_model=schemas.CreatedToken,
    responses=schemas.problems(409, 503),
)
async def create_token(request: Request, wanted: NewToken) -> Response:
    """Makes a token and shows it, this once."""
    context = context_of(request)
    context.tokens.check_changeable()
    if wanted.log and wanted.log not in context.logs:
        raise UnknownLog(f"there is no log {wanted.log[:80]!r} here")
    context.tokens.check(wanted.name, wanted.scopes, wanted.log)
    said = f"scopes {', '.join(wanted.scopes)}" + (f"; log {wanted.log}" if wanted.log else "")
    await _record(request, context, "token.create", {"name": wanted.name}, said)
    token = await asyncio.to_thread(context.tokens.create, wanted.name, wanted.scopes, wanted.log)
    record = context.tokens.records[-1]
    body = orjson.dumps({**_shown(record), "token": token})
    return Response(body, 201, media_type="application/json", headers=_FRESH)


@router.delete("/api/v1/tokens/{id}", status_code=204, responses=schemas.problems(404, 409, 503))
async def revoke_token(request: Request, id: str) -> Response:  # noqa: A002
    """Revokes a token: the next request that shows it is refused."""
    context = context_of(request)
    context.tokens.check_changeable()
    found = next((record for record in context.tokens.records if record.id == id), None)
    if found is None:
        raise NotFound(f"there is no token {id[:80]!r}")
    caller: Caller = request.scope["state"]["caller"]
    if Right.ADMIN in found.scopes and _admins(context) == 1:
        raise InputError(
            f"{found.name} is the last token that may manage access",
            advice=f"{caller.name} should make another one first",
        )
    resource = {"name": found.name, "uid": found.id}
    await _record(request, context, "token.revoke", resource, "")
    await asyncio.to_thread(context.tokens.revoke, id)
    return Response(status_code=204, headers=_FRESH)


def _admins(context: Context) -> int:
    return sum(Right.ADMIN in record.scopes for record in context.tokens.records)


def _shown(record: TokenRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "name": record.name,
        "scopes": list(record.scopes),
        "log": record.log,
        "created": record.created,
    }


async def _record(
    request: Request, context: Context, action: str, resource: dict[str, str], comment: str
) -> None:
    """Puts what is about to be done into the first log. Raises TryLater: then it is not done."""
    caller: Caller = request.scope["state"]["caller"]
    peer = peer_text(request.scope.get("client"))
    resource = {**resource, "type": "token"}
    await _append(context, action, resource, comment, peer=peer, actor=caller.name)


async def record_change(context: Context, change: Change) -> None:
    """Puts what a new token file meant into the first log, where this node takes entries.

    It holds already: what was revoked must not be waited for. Raises TryLater.
    """
    if context.takes:
        resource = {"type": "token-file", "name": "tokens"}
        await _append(context, "token.file", resource, str(change))


async def _append(
    context: Context,
    action: str,
    resource: dict[str, str],
    comment: str,
    *,
    peer: str = "",
    actor: str = "",
) -> None:
    at = rfc3339(context.clock.now())
    event = {
        "time": at,
        "actor": actor,
        "action": action,
        "resource": resource,
        "comment": comment,
        "client": peer,
    }
    log = next(iter(context.logs))
    record = orjson.dumps({key: value for key, value in event.items() if value})
    origin = Origin("muniment", "muniment", peer, actor)
    batch = Batch(pack_records([record], at, context.node, origin))
    await durable(Target(log, context.shards(log)).submit(batch))
