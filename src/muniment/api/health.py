"""Health: is the process alive, does it take entries, and what has it counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from muniment.api import schemas
from muniment.api.context import Context, context_of
from muniment.api.problems import headers_for, problem
from muniment.api.read import may_read
from muniment.errors import MunimentError, StorageFailing, TryLater, Unavailable
from muniment.store.archive import Archive

STATUS_SECONDS = 1.0

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=schemas.Healthy)
async def healthz() -> Response:
    """Says that the process answers: the probe of liveness."""
    return Response(b'{"status":"ok"}', media_type="application/json", headers=_FRESH)


@router.get(
    "/readyz",
    response_model=schemas.Ready,
    responses={503: schemas.problems(503)[503]},
)
async def readyz(request: Request) -> Response:
    """Says whether every log takes entries: the probe of readiness.

    A log whose shards all refuse makes it 503, with the reason of each; so does a node that is
    starting, until it can search, or stopping. A query process that goes down later does not:
    entries must still come in; `search` says so. Nor does a store in trouble: see `stores`.
    """
    context = context_of(request)
    shards = list(_shards(context))
    found = {"ready": True, "shards": shards, "search": await _search(context)}
    if context.archive is not None:
        found["stores"] = _stores(context.archive)
    if context.tokens.trouble:
        found["tokens"] = {"ok": False, "reason": context.tokens.trouble}
    reason = why_not_ready(context)
    if reason is not None:
        return _not_ready(reason, found)
    return Response(orjson.dumps(found), media_type="application/json", headers=_FRESH)


_FRESH = {"cache-control": "no-store"}


def why_not_ready(context: Context) -> TryLater | None:
    """Returns why nothing should be sent here at the moment; None where it should."""
    if context.stopping.is_set() or context.draining:
        return Unavailable("this node is stopping", retry_after=5)
    if context.starting:
        return Unavailable("this node is starting", retry_after=1)
    if not context.takes:
        return None
    reasons = []
    for log, of_log in context.logs.items():
        if not any(shard.writable and shard.health.ok for shard in of_log.values()):
            why = "; ".join(s.health.reason for s in of_log.values() if not s.health.ok)
            reasons.append(f"{log}: {why}")
    return StorageFailing("; ".join(reasons), retry_after=2) if reasons else None


def _not_ready(error: TryLater, found: dict[str, Any]) -> Response:
    body = orjson.dumps({**problem(error), **found, "ready": False})
    headers = {**headers_for(error), **_FRESH}
    return Response(body, 503, headers, "application/problem+json")


def _shards(context: Context) -> Iterable[dict[str, Any]]:
    for log, shards in context.logs.items():
        for name, shard in shards.items():
            health = shard.health
            found = {"log": log, "shard": name, "ok": health.ok, "size": shard.size}
            if not health.ok:
                found |= {"reason": health.reason, "since": health.since}
            yield found


def _stores(archive: Archive) -> list[dict[str, Any]]:
    """A store in trouble is a warning: entries are taken all the same, and carried later."""
    return [
        {"store": store.name, "ok": not store.trouble}
        | ({"reason": store.trouble} if store.trouble else {})
        for store in archive.status().stores
    ]


async def _search(context: Context) -> dict[str, Any]:
    try:
        status = await asyncio.wait_for(context.query.status(), STATUS_SECONDS)
    except TimeoutError:
        return {"ok": False, "reason": "the query process does not answer"}
    except MunimentError as error:
        return {"ok": False, "reason": error.detail}
    return {"ok": True, **status}


@router.get(
    "/metrics",
    response_class=Response,
    responses=schemas.answers(schemas.text("Prometheus text format")),
    dependencies=[Depends(may_read)],
)
async def metrics(request: Request) -> Response:
    """Returns the counts of this node in Prometheus' text format."""
    page = generate_latest(request.app.state.registry)
    return Response(page, media_type=CONTENT_TYPE_LATEST, headers=_FRESH)
