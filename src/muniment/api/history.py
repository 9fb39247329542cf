"""Objects and their versions: what there is, what it was, how it differs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from muniment.api import history_schemas, schemas
from muniment.api.context import Context, context_of
from muniment.api.read import may_read, only_known_parameters
from muniment.api.search import instant
from muniment.errors import NotFound, QueryError
from muniment.query.history.acts import Names, acts_query
from muniment.query.history.blame import conclusion, evidence, looks, own_word, stretch
from muniment.query.history.diff import compare
from muniment.query.history.entry import ChangeEntry, read_change
from muniment.query.history.version import milliseconds

MAX_NAME = 1_024
MAX_VERSIONS = 500
MAX_BLAMED = 50
MAX_ANSWER = 16 << 20
"""Bytes of change events that are read for one page of versions."""

Name = Annotated[
    str, Query(alias="object", min_length=1, max_length=MAX_NAME, description="its whole name")
]
Spec = Annotated[
    str,
    Query(
        max_length=64,
        description="number, `latest`, `previous`, 6 or more digits of the SHA-256, or a time",
    ),
]
Limit = Annotated[int, Query(ge=1, le=MAX_VERSIONS)]
Before = Annotated[int, Query(ge=0, description="only versions with smaller numbers; 0 for all")]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(
    tags=["history"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


@router.get(
    "/api/v1/logs/{log}/objects",
    response_model=history_schemas.Objects,
    responses=schemas.problems(404, 429, 503),
)
async def objects(
    request: Request,
    log: str,
    prefix: Annotated[str, Query(max_length=MAX_NAME, description="how names begin")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str, Query(max_length=MAX_NAME, description="`next` of a page")] = "",
) -> Response:
    """Lists the objects of which there is a history, by name, each with its latest version."""
    context = context_of(request)
    context.shards(log)
    found = await context.query.ask("objects", log, prefix=prefix, after=cursor, limit=limit)
    for one in found["objects"]:
        one["time"] = instant_text(one["time"])
        del one["previous"], one["since"]
    return answer(found)


@router.get(
    "/api/v1/logs/{log}/history",
    response_model=history_schemas.History,
    responses=schemas.problems(404, 429, 503),
)
async def history(
    request: Request, log: str, name: Name, limit: Limit = 50, before: Before = 0
) -> Response:
    """Lists the versions of an object, newest first."""
    context = context_of(request)
    found = await page_of(context, log, name, limit, before)
    return answer(await asyncio.to_thread(_listed, context, log, found))


@router.get(
    "/api/v1/logs/{log}/version",
    response_model=history_schemas.WholeVersion,
    responses=schemas.problems(404, 429, 503),
)
async def version(request: Request, log: str, name: Name, v: Spec = "latest") -> Response:
    """Returns one version with its whole state."""
    context = context_of(request)
    found = await _chosen(context, log, name, [v])
    (one,) = found["versions"]
    change = await asyncio.to_thread(change_of, context, log, one)
    about = {key: found[key] for key in ("object", "kind", "total", "lag")}
    said = {"state": change.state, "note": change.note}
    return answer(about | told(one, change) | said)


@router.get(
    "/api/v1/logs/{log}/diff",
    response_model=history_schemas.Diff,
    responses=schemas.problems(404, 429, 503),
)
async def diff(
    request: Request,
    log: str,
    name: Name,
    from_: Annotated[Spec, Query(alias="from")] = "previous",
    to: Spec = "latest",
) -> Response:
    """Compares two versions: by structure where there is one, and files also line by line."""
    context = context_of(request)
    found = await _chosen(context, log, name, [from_, to])
    return answer(await asyncio.to_thread(_difference, context, log, found))


@router.get(
    "/api/v1/logs/{log}/blame",
    response_model=history_schemas.Blame,
    responses=schemas.problems(404, 429, 503),
)
async def blame(
    request: Request,
    log: str,
    name: Name,
    limit: Annotated[int, Query(ge=1, le=MAX_BLAMED)] = 10,
    before: Before = 0,
) -> Response:
    """Says for each version who made it, from where and how, with the entries that show it."""
    context = context_of(request)
    found = await page_of(context, log, name, limit, before)
    page = await asyncio.to_thread(_listed, context, log, found)
    versions = page["versions"]
    made = [between for one in versions if (between := looks(one))]
    page["versions"] = [one | await blamed(context, log, name, one, made) for one in versions]
    return answer(page)


async def blamed(
    context: Context,
    log: str,
    name: str,
    one: Mapping[str, Any],
    made: Sequence[tuple[int, int]],
) -> dict[str, Any]:
    """Returns {evidence, conclusion, partial} of a version as `told` made it.

    `made` are the looks of all versions that are told of.
    """
    names = Names.of(name, one["names"])
    rows: list[dict[str, Any]] = []
    partial = False
    if one["change"] != "observe":
        start, end = stretch(milliseconds(one["time"]) or 0, milliseconds(one["since"]))
        page = await context.query.search(
            log, acts_query(names), start=start, end=end, limit=200, cursor=None, order="newest"
        )
        rows, partial = page["rows"], bool(page["next"])
    found = evidence(rows, names, one, made)
    if one["by"].get("user") or one["by"].get("tool"):
        system = name.partition(":")[0]
        found.insert(0, own_word(one["by"], system, one["time"], one["entry"]))
    return {"evidence": found, "conclusion": conclusion(one, found), "partial": partial}


def _difference(context: Context, log: str, found: Mapping[str, Any]) -> dict[str, Any]:
    old, new = found["versions"]
    before, after = (change_of(context, log, one).state for one in (old, new))
    names = [f"{found['object']}@{one['number']}" for one in (old, new)]
    made = compare(before, after, found["object"], *names)
    return {
        "object": found["object"],
        "from": _named(old),
        "to": _named(new),
        "same": before == after,
        "fields": made.fields,
        "text": made.text,
        "sections": [asdict(section) for section in made.sections],
        "semantic": made.semantic,
        "left_out": made.left_out,
    }


def _named(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "number": one["number"],
        "version": one["version"],
        "time": instant_text(one["time"]),
        "change": one["change"],
    }


_INSTANT = re.compile(r"\d{4}-\d\d")


def _check_come(context: Context, specs: Sequence[str]) -> None:
    """Raises QueryError for an instant that has not come: nobody knows what held then."""
    now = context.clock.now().timestamp() * 1000
    for said in filter(_INSTANT.match, specs):
        if (instant("v", said) or 0) > now:
            raise QueryError(f"{said[:40]} has not come yet", advice="write `latest`")


async def page_of(context: Context, log: str, name: str, limit: int, before: int) -> dict[str, Any]:
    """Returns a page of versions as the index has them. Raises NotFound."""
    context.shards(log)
    found = await context.query.ask("history", log, name=name, limit=limit, before=before or None)
    if not found["total"]:
        raise NotFound(f"nothing is known of {name}: no change of such an object has come")
    return found


async def _chosen(context: Context, log: str, name: str, wanted: list[str]) -> dict[str, Any]:
    context.shards(log)
    _check_come(context, wanted)
    return await context.query.ask("version", log, name=name, wanted=wanted)


async def told_versions(
    context: Context, log: str, found: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Returns the versions of a page with what their entries say."""
    page = await asyncio.to_thread(_listed, context, log, found)
    return list(page["versions"])


def _listed(context: Context, log: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The page with what the entries say; it ends early where they are large."""
    shown: list[dict[str, Any]] = []
    size = 0
    for one in found["versions"]:
        change = change_of(context, log, one)
        shown.append(told(one, change))
        size += change.size
        if size > MAX_ANSWER:
            break
    cut = len(shown) < len(found["versions"])
    return {**found, "versions": shown, "next": shown[-1]["number"] if cut else found["next"]}


def change_of(context: Context, log: str, one: Mapping[str, Any]) -> ChangeEntry:
    """Reads the change event of a version from the log itself. Raises Corrupt, UnknownShard."""
    place = one["entry"]
    return read_change(context.shard(log, place["shard"]).reader.entry, place["index"])


def told(one: Mapping[str, Any], change: ChangeEntry) -> dict[str, Any]:
    """Returns what is said of a version: what the index counted, and what the entry holds."""
    return {
        "number": one["number"],
        "version": one["version"],
        "previous": one["previous"],
        "change": one["change"],
        "time": instant_text(one["time"]),
        "since": one["since"],
        "fields": change.fields(),
        "redacted": change.texts("redacted"),
        "names": change.texts("names"),
        "by": change.members("by"),
        "where": change.members("where"),
        "agent": change.agent,
        "stream": change.said("stream"),
        "sender": change.said("from"),
        "via": change.said("via"),
        "fault": change.fault,
        "entry": one["entry"],
    }


def instant_text(milliseconds: int) -> str:
    """Returns milliseconds since the epoch as RFC 3339."""
    text = (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def answer(found: Mapping[str, Any]) -> Response:
    """Returns an answer that is not to be kept."""
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(found), headers=headers, media_type="application/json")
