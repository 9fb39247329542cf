"""Reading evidence: logs, entries, proofs."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.routing import APIRoute

from muniment.access import Scope as Right
from muniment.api import schemas
from muniment.api.context import Context, context_of
from muniment.api.ports import Shard
from muniment.errors import InputError, NoSuchEntry, Unavailable
from muniment.log.proof_file import ProofFile

PUBLISH_SECONDS = 2.0
_POLL_SECONDS = 0.05

MAX_INDEX = (1 << 63) - 1
Index = Annotated[int, Path(ge=0, le=MAX_INDEX, description="index of the entry in its shard")]


def may_read(request: Request) -> None:
    """Raises Forbidden unless the caller may read."""
    request.scope["state"]["caller"].require(Right.READ)


def only_known_parameters(request: Request) -> None:
    """Raises InputError for a query parameter that the route does not have.

    A misspelt filter that is passed over would answer with what was not asked for.
    """
    route: APIRoute = request.scope["route"]
    known = {parameter.alias for parameter in route.dependant.query_params}
    for name in request.query_params:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InputError(
                f"there is no parameter {name[:80]!r} here", advice=f"known here: {listed}"
            )


def lasting(context: Context) -> dict[str, str]:
    """Returns the caching headers of what never changes, kept apart from others by tokens."""
    reach = "private" if context.tokens_required else "public"
    return {"cache-control": f"{reach}, max-age=31536000, immutable"}


router = APIRouter(dependencies=[Depends(may_read)])


@router.get("/api/v1/logs", tags=["logs"], response_model=schemas.Logs)
async def list_logs(request: Request) -> Response:
    """Lists the logs and their shards: origin, verifier key, durable size and minimum of each."""
    logs = [
        {"name": name, "shards": [_shard(shard) for shard in shards.values()]}
        for name, shards in context_of(request).logs.items()
    ]
    return Response(orjson.dumps({"logs": logs}), media_type="application/json")


def _shard(shard: Shard) -> dict[str, Any]:
    return {
        "shard": shard.name,
        "origin": shard.origin,
        "verifier": shard.verifier,
        "size": shard.size,
        "minimum": shard.reader.minimum,
    }


@router.get(
    "/api/v1/logs/{log}/shards/{shard}/entries/{index}",
    tags=["evidence"],
    response_class=Response,
    responses=schemas.answers(
        schemas.binary("the entry: receipt header, newline, bytes"), 404, 410
    ),
)
def get_entry(request: Request, log: str, shard: str, index: Index) -> Response:
    """Returns an entry: the bytes whose hash is the leaf, checked against the frame on disk.

    Below the minimum of its shard it has expired (410).
    """
    context = context_of(request)
    data = context.shard(log, shard).reader.entry(index)
    return Response(data, headers=lasting(context), media_type="application/octet-stream")


@router.get(
    "/api/v1/logs/{log}/shards/{shard}/entries/{index}/proof",
    tags=["evidence"],
    response_class=Response,
    responses=schemas.answers(schemas.text("a C2SP tlog-proof"), 404, 410, 503),
)
async def get_proof(
    request: Request,
    log: str,
    shard: str,
    index: Index,
    extra: Annotated[bool, Query(description="put the entry's bytes into the proof")] = False,
) -> Response:
    """Returns the proof that the entry stands in the log under the published checkpoint.

    A new entry is waited for until a checkpoint covers it, two seconds at most (then 503).
    """
    context = context_of(request)
    found = context.shard(log, shard)
    await _published(context, found, index)
    proof = await asyncio.to_thread(_prove, found, index, extra)
    return Response(
        str(proof), headers={"cache-control": "no-cache"}, media_type="text/plain; charset=utf-8"
    )


async def _published(context: Context, shard: Shard, index: int) -> None:
    if index >= shard.size:
        raise NoSuchEntry(f"entry {index} is not in a shard of {shard.size} entries")
    deadline = context.clock.monotonic() + PUBLISH_SECONDS
    while shard.published_size <= index:
        if context.clock.monotonic() >= deadline or context.stopping.is_set():
            raise Unavailable(
                f"no published checkpoint covers entry {index} yet: the next one will",
                retry_after=1,
            )
        await asyncio.sleep(_POLL_SECONDS)


def _prove(shard: Shard, index: int, extra: bool) -> ProofFile:
    proof = shard.prove(index)
    if not extra:
        return proof
    return ProofFile(proof.index, proof.path, proof.note, shard.reader.entry(index))
