"""Search, histogram and SQL: the questions that the query process answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from muniment.api import schemas
from muniment.api.bodies import Media
from muniment.api.context import Context, context_of
from muniment.api.read import may_read, only_known_parameters
from muniment.api.receiving import header, read_body
from muniment.budget import Hold
from muniment.errors import InputError, QueryError, UnsupportedMedia
from muniment.query.instant import span

MAX_QUERY = 4_096
MAX_CURSOR = 16_384
MAX_SQL_BODY = 256 << 10
MAX_ROWS = 1_000
MAX_SQL_ROWS = 10_000

Text = Annotated[str, Query(max_length=MAX_QUERY, description="fields and words, all must hold")]
From = Annotated[str, Query(alias="from", max_length=64, description="first instant (RFC 3339)")]
To = Annotated[str, Query(max_length=64, description="first instant that is not included")]

router = APIRouter(
    tags=["search"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


@router.get(
    "/api/v1/logs/{log}/search",
    response_model=schemas.SearchAnswer,
    responses=schemas.problems(404, 429, 503),
)
async def search(
    request: Request,
    log: str,
    q: Text = "",
    from_: From = "",
    to: To = "",
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
    cursor: Annotated[str, Query(max_length=MAX_CURSOR, description="`next` of a page")] = "",
    order: Literal["newest", "oldest"] = "newest",
) -> Response:
    """Finds events by field, text and time; see the query language."""
    context = context_of(request)
    context.shards(log)
    found = await context.query.search(
        log,
        q,
        start=instant("from", from_),
        end=instant("to", to),
        limit=limit,
        cursor=cursor or None,
        order=order,
    )
    return _json(found)


@router.get(
    "/api/v1/logs/{log}/histogram",
    response_model=schemas.HistogramAnswer,
    responses=schemas.problems(404, 429, 503),
)
async def histogram(
    request: Request,
    log: str,
    q: Text = "",
    from_: From = "",
    to: To = "",
    buckets: Annotated[int, Query(ge=1, le=1_000)] = 60,
) -> Response:
    """Counts matching events over time; without `from` or `to`, over all that there is."""
    context = context_of(request)
    context.shards(log)
    found = await context.query.histogram(
        log, q, start=instant("from", from_), end=instant("to", to), buckets=buckets
    )
    return _json(_histogram(found))


def _histogram(found: dict[str, Any]) -> dict[str, Any]:
    """Gives each bucket its start; where nothing matched there is none."""
    start, step = found.pop("start"), found.pop("width")
    counts: list[int] = found.pop("counts")
    buckets = [
        {"start": start + number * step, "count": count} for number, count in enumerate(counts)
    ]
    return {"buckets": buckets if any(counts) else [], "step": step, **found}


class SqlRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a SQL request."""

    query: str
    log: str = ""
    limit: int = 1_000


_SQL_REQUEST = msgspec.json.Decoder(SqlRequest)


@router.post(
    "/api/v1/sql",
    response_model=schemas.SqlAnswer,
    responses=schemas.problems(404, 411, 413, 415, 429, 503),
    openapi_extra=schemas.SQL,
)
async def sql(request: Request) -> Response:
    """Answers one read-only SQL statement.

    The table `events` has the events of all logs, or of the one that is named; each log is also
    a table under its own name.
    """
    context = context_of(request)
    asked = await _sql_request(request, context)
    if asked.log:
        context.shards(asked.log)
    logs = [asked.log] if asked.log else list(context.logs)
    return _json(await context.query.sql(asked.query, log=logs, limit=asked.limit))


async def _sql_request(request: Request, context: Context) -> SqlRequest:
    if Media.of(header(request.scope, b"content-type")) is not Media.JSON:
        raise UnsupportedMedia("SQL is asked in JSON", advice="send application/json")
    with Hold(context.budget) as hold:
        body = await read_body(request.scope, request.receive, MAX_SQL_BODY, hold)
        try:
            asked = _SQL_REQUEST.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            advice = 'send {"query": "SELECT ..."}'
            raise InputError(f"not a SQL request: {error}", advice=advice) from None
    if not 1 <= asked.limit <= MAX_SQL_ROWS:
        raise QueryError(f"limit must be from 1 to {MAX_SQL_ROWS:,}")
    return asked


def instant(name: str, text: str) -> int | None:
    """Returns milliseconds since the epoch, None for an empty text. Raises QueryError."""
    if not text:
        return None
    try:
        return span(text)[0]
    except (ValueError, OverflowError) as error:
        raise QueryError(f"{name}: {error}") from None


def _json(answer: dict[str, Any]) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")
