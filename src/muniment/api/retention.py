"""Retention and legal holds over HTTP: what is kept how long, and what must be kept longer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from muniment.access import Caller
from muniment.api import schemas
from muniment.api.access import may_manage
from muniment.api.context import Context, context_of
from muniment.api.ports import Query as Asked
from muniment.api.read import may_read, only_known_parameters
from muniment.api.retention_schemas import NewHold, RetentionAnswer, ShownHold, ShownHolds
from muniment.api.search import instant
from muniment.clock import rfc3339
from muniment.errors import InputError, NotFound, TooLarge
from muniment.query.history.acts import quoted
from muniment.store.retention.follow import Found, Resolve, Retention
from muniment.store.retention.hold import Hold, What, new_hold
from muniment.store.retention.log_retention import LogRetention
from muniment.store.retention.policy import Policy
from muniment.store.retention.ranges import Ranges
from muniment.watch.records import instant_text

MAX_HELD = 1_000_000
"""Entries that the query of a hold may find: beyond that, hold the log."""

PAGE = 1_000
_FRESH = {"cache-control": "no-store"}

router = APIRouter(tags=["retention"], dependencies=[Depends(only_known_parameters)])


@router.get(
    "/api/v1/logs/{log}/retention",
    response_model=RetentionAnswer,
    responses=schemas.problems(404),
    dependencies=[Depends(may_read)],
)
def get_retention(request: Request, log: str) -> Response:
    """Tells how long entries are kept, what has expired, what expires next, and what is held."""
    one = _retention(context_of(request), log)
    states = one.shard_states
    body = {
        "policy": _policy(one.record.current),
        "shards": [
            {
                "shard": name,
                "minimum": one.minimum(name),
                "size": opened.shard.size,
                "next": "" if (due := states[name].next) is None else rfc3339(due),
                "kept_back": states[name].kept_back,
                "kept": states[name].kept,
                "behind": states[name].behind,
            }
            for name, opened in one.shards.items()
        ],
        "stores": [
            {
                "store": name,
                "policy": state.policy,
                "extended": state.extended,
                "trouble": state.trouble,
            }
            for name, state in one.states.items()
        ],
        "holds": [_shown(hold) for hold in one.holds],
        "trouble": one.trouble,
    }
    return Response(orjson.dumps(body), media_type="application/json", headers=_FRESH)


@router.get(
    "/api/v1/logs/{log}/holds",
    response_model=ShownHolds,
    responses=schemas.problems(404),
    dependencies=[Depends(may_manage)],
)
def list_holds(request: Request, log: str) -> Response:
    """Lists the legal holds of a log."""
    one = _retention(context_of(request), log)
    body = orjson.dumps({"holds": [_shown(hold) for hold in one.holds]})
    return Response(body, media_type="application/json", headers=_FRESH)


@router.post(
    "/api/v1/logs/{log}/holds",
    status_code=201,
    response_model=ShownHold,
    responses=schemas.problems(404, 409, 413, 429, 503),
    dependencies=[Depends(may_manage)],
)
async def place_hold(request: Request, log: str, wanted: NewHold) -> Response:
    """Places a legal hold: what it covers does not expire, whatever its age.

    The act is an entry of the log, with the caller's name. What a query finds is looked up once,
    now; a hold on an object, or on the log, covers what comes later too.
    """
    context = context_of(request)
    one = _retention(context, log)
    caller: Caller = request.scope["state"]["caller"]
    hold = _asked(wanted, caller.name, rfc3339(context.clock.now()))
    ranges, seen = await resolve(context.query, log, hold, {}, _sizes(one))
    whole = new_hold(
        hold.name,
        hold.reason,
        hold.actor,
        hold.placed,
        hold.what,
        object=hold.object,
        query=hold.query,
        since=hold.since,
        until=hold.until,
        ranges=ranges,
        seen=seen,
    )
    assert context.retention is not None
    placed = await asyncio.to_thread(context.retention.place, log, whole)
    return Response(orjson.dumps(_shown(placed)), 201, _FRESH, "application/json")


@router.delete(
    "/api/v1/logs/{log}/holds/{hold}",
    status_code=204,
    responses=schemas.problems(404, 503),
    dependencies=[Depends(may_manage)],
)
async def release_hold(
    request: Request,
    log: str,
    hold: str,
    reason: Annotated[str, Query(max_length=1_024, description="why; stands in the log")],
) -> Response:
    """Releases a legal hold. The act is an entry of the log, with the caller's name."""
    context = context_of(request)
    _retention(context, log)
    caller: Caller = request.scope["state"]["caller"]
    assert context.retention is not None
    await asyncio.to_thread(context.retention.release, log, hold, caller.name, reason)
    return Response(status_code=204, headers=_FRESH)


def resolver(query: Asked, retention: Mapping[str, LogRetention]) -> Resolve:
    """What the follower of retention asks for the holds on objects; see `resolve`."""

    async def ask(log: str, hold: Hold, since: Mapping[str, int]) -> Found:
        return await resolve(query, log, hold, since, _sizes(retention[log]))

    return ask


def _retention(context: Context, log: str) -> LogRetention:
    context.shards(log)
    found: Retention | None = context.retention
    if found is None or log not in found.logs:
        raise NotFound(f"the retention of {log[:80]} is not followed here")
    return found.logs[log]


def _asked(wanted: NewHold, actor: str, now: str) -> Hold:
    if wanted.object and (wanted.query or wanted.start or wanted.end):
        raise InputError("a hold is on an object, or on what a query finds: not on both")
    asks = bool(wanted.query or wanted.start or wanted.end)
    what = What.OBJECT if wanted.object else What.QUERY if asks else What.LOG
    return new_hold(
        wanted.name,
        wanted.reason,
        actor,
        now,
        what,
        object=wanted.object,
        query=wanted.query,
        since=_moment("from", wanted.start),
        until=_moment("to", wanted.end),
    )


def _moment(name: str, text: str) -> str:
    found = instant(name, text)
    return "" if found is None else instant_text(found)


def _sizes(one: LogRetention) -> dict[str, int]:
    return {name: opened.shard.size for name, opened in one.shards.items()}


async def resolve(
    query: Asked, log: str, hold: Hold, since: Mapping[str, int], sizes: Mapping[str, int]
) -> Found:
    """Returns the entries that a hold covers, and up to where each shard was looked through.

    Entries below `since` are left out. Of those that the index does not have yet nobody knows: a
    query's hold covers them all, an object's until they are looked through. Raises QueryError,
    TooLarge, Unavailable.
    """
    if hold.what is What.LOG:
        return {}, {}
    text = f"object:{quoted(hold.object)}" if hold.what is What.OBJECT else hold.query
    status = (await query.status())["logs"].get(log) or {}
    start, end = instant("from", hold.since), instant("to", hold.until)
    found: dict[str, Ranges] = {}
    cursor: str | None = None
    count = 0
    while True:
        page = await query.search(
            log, text, start=start, end=end, limit=PAGE, cursor=cursor, order="newest"
        )
        for row in page["rows"]:
            if row["index"] >= since.get(row["shard"], 0):
                found.setdefault(row["shard"], Ranges()).add(row["index"], row["index"] + 1)
        count += len(page["rows"])
        cursor = page["next"]
        if not cursor:
            break
        if count >= MAX_HELD:
            raise TooLarge(f"the query finds more than {MAX_HELD:,} entries", advice="hold the log")
    seen = {shard: min(size, _indexed(status, shard)) for shard, size in sizes.items()}
    for shard, size in sizes.items():
        if hold.what is What.QUERY and seen[shard] < size:
            found.setdefault(shard, Ranges()).add(seen[shard], size)
    return {shard: ranges.list() for shard, ranges in found.items()}, seen


def _indexed(status: Mapping[str, Any], shard: str) -> int:
    """The first entry of a shard that could not be searched before the question."""
    found = (status.get("shards") or {}).get(shard) or {}
    return int(found.get("indexed") or 0)


def _policy(policy: Policy | None) -> dict[str, Any]:
    if policy is None:
        return {"number": 0, "minimum": 0, "maximum": 0, "set": ""}
    return {
        "number": policy.number,
        "minimum": policy.minimum or 0,
        "maximum": policy.maximum or 0,
        "set": policy.set,
    }


def _shown(hold: Hold) -> dict[str, Any]:
    covered = sum(stop - first for found in hold.ranges.values() for first, stop in found)
    return {
        "name": hold.name,
        "reason": hold.reason,
        "actor": hold.actor,
        "placed": hold.placed,
        "what": hold.what,
        "object": hold.object,
        "query": hold.query,
        "from": hold.since,
        "to": hold.until,
        "entries": covered,
        "on_record": hold.on_record,
        "releasing": bool(hold.ending),
        "shard": hold.shard,
        "index": hold.index,
    }
