"""What came of what: a timeline around a moment, and the way of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from muniment.api import history_schemas, schemas
from muniment.api.context import Context, context_of
from muniment.api.history import MAX_NAME, answer, instant_text, page_of, told_versions
from muniment.api.read import may_read, only_known_parameters
from muniment.api.search import instant
from muniment.errors import NotFound, QueryError
from muniment.query.history import acts, explain
from muniment.query.history.rise import Bucket, find_rise, onset
from muniment.query.history.trace import hops

BUCKETS = 60
MAX_ITEMS = 200
MAX_HOPS = 500
MAX_WINDOW = 86_400
_DAY = 86_400_000
_FIRST, _LAST = -2_208_988_800_000, 253_370_764_800_000 + 2 * _DAY
"""The years of events, 1900 to 9998, in milliseconds since the epoch."""

_AROUND = 600_000
_ALIKE = 16
_LONG = 16
"""Characters of an id that is worth looking for as text: trace ids have 32."""

router = APIRouter(
    tags=["history"], dependencies=[Depends(may_read), Depends(only_known_parameters)]
)


@router.get(
    "/api/v1/logs/{log}/explain",
    response_model=history_schemas.Explanation,
    responses=schemas.problems(404, 429, 503),
)
async def explain_moment(
    request: Request,
    log: str,
    at: Annotated[str, Query(max_length=64, description="the moment (RFC 3339)")] = "",
    name: Annotated[
        str, Query(alias="object", max_length=MAX_NAME, description="an object that changed")
    ] = "",
    window: Annotated[
        int, Query(ge=10, le=MAX_WINDOW, description="seconds before and after it")
    ] = 900,
) -> Response:
    """Shows what changed around a rise of errors: acts, changes, reloads, gaps, the effect.

    Without `at` it is the latest change of the object; without an object all of them count.
    """
    context = context_of(request)
    context.shards(log)
    moment = instant("at", at)
    where: dict[str, str] = {}
    if name:
        (latest,) = await told_versions(context, log, await page_of(context, log, name, 1, 0))
        where = latest["where"]
        moment = instant("time", latest["time"]) if moment is None else moment
    if moment is None:
        raise QueryError("say when (`at`) or what (`object`)")
    start, end = moment - 1_000 * window, moment + 1_000 * window
    if not _FIRST <= start < end <= _LAST:
        raise QueryError(f"at: {at} is out of reach: say a time from 1900 to 9998")
    return answer(await _Explainer(context, log, start, end).run(name, where))


class _Explainer:
    """One stretch of time of one log, milliseconds since the epoch."""

    def __init__(self, context: Context, log: str, start: int, end: int) -> None:
        self._query, self._log, self._start, self._end = context.query, log, start, end
        self._partial = False

    async def run(self, name: str, where: Mapping[str, str]) -> dict[str, Any]:
        traffic = explain.narrowed(where)
        buckets, width = await self._buckets(traffic, self._start, self._end)
        rise = find_rise(buckets, width)
        items, rows = await self._items()
        told = None
        if rise is not None:
            places = await self._places(traffic, rise.start, rise.end)
            fine, _ = await self._buckets(traffic, rise.start, rise.start + width)
            told = asdict(rise) | {
                "start": instant_text(onset(rise, fine)),
                "end": instant_text(rise.end),
                "where": places,
            }
            items.append(explain.effect_item(rise, places, told["start"]))
        items.sort(key=lambda item: item["time"])
        explain.join(items, rows, told)
        return {
            "from": instant_text(self._start),
            "to": instant_text(self._end),
            "object": name,
            "errors": {
                "of": traffic,
                "step": width,
                "buckets": [
                    {"start": b.start, "count": b.count, "errors": b.errors} for b in buckets
                ],
                "rise": told,
            },
            "timeline": items,
            "summary": explain.summary(items, told),
            "partial": self._partial,
        }

    async def _buckets(self, traffic: str, start: int, end: int) -> tuple[list[Bucket], int]:
        asked = {"start": start, "end": end, "buckets": BUCKETS}
        all_, bad = await asyncio.gather(
            self._query.histogram(self._log, traffic, **asked),
            self._query.histogram(self._log, f"{traffic} {explain.ERRORS}", **asked),
        )
        self._partial |= all_["partial"] or bad["partial"]
        pairs = zip(all_["counts"], bad["counts"], strict=True)
        width = all_["width"]
        buckets = [
            Bucket(start + place * width, count, errors)
            for place, (count, errors) in enumerate(pairs)
        ]
        return buckets, width

    async def _places(self, traffic: str, start: int, end: int) -> list[dict[str, Any]]:
        """Where the failures of a rise were, most first."""
        found = await self._query.ask(
            "groups",
            self._log,
            q=f"{traffic} {explain.ERRORS}",
            by=[*explain.WHERE, "http_response.code"],
            start=start,
            end=end,
            limit=10,
        )
        return [
            {
                **dict(zip(explain.PLACES, group["values"][:3], strict=True)),
                "status": group["values"][3],
                "errors": group["count"],
            }
            for group in found["groups"]
        ]

    async def _items(self) -> tuple[list[explain.Item], dict[tuple[str, int], acts.Row]]:
        changes, writes, reloads, gaps = await asyncio.gather(
            self._rows(explain.CHANGES),
            self._rows(acts.writes_query()),
            self._rows(explain.RELOADS),
            self._rows(explain.GAPS),
        )
        whole = acts.whole_requests(writes)
        items = [explain.change_item(row) for row in changes]
        kinds: list[tuple[list[acts.Row], Callable[[acts.Row], explain.Item]]] = [
            (whole, explain.act_item),
            ([row for row in reloads if explain.is_reload(row)], explain.reload_item),
            (gaps, explain.gap_item),
        ]
        items += [make(row) for rows, make in kinds for row in rows]
        return items, {(row["shard"], row["index"]): row for row in whole}

    async def _rows(self, q: str) -> list[acts.Row]:
        page = await self._query.search(
            self._log,
            q,
            start=self._start,
            end=self._end,
            limit=MAX_ITEMS,
            cursor=None,
            order="newest",
        )
        self._partial |= bool(page["next"])
        return list(page["rows"])


@router.get(
    "/api/v1/logs/{log}/traces/{trace}",
    response_model=history_schemas.Trace,
    responses=schemas.problems(404, 429, 503),
)
async def trace(
    request: Request,
    log: str,
    trace: Annotated[str, Path(min_length=1, max_length=256, description="trace or request id")],
    from_: Annotated[str, Query(alias="from", max_length=64, description="first instant")] = "",
    to: Annotated[str, Query(max_length=64, description="first instant not included")] = "",
) -> Response:
    """Follows one request across ingress, balancer and services, with the latency of each hop.

    Entries are found by trace id and request id, and around them by the text of the id; where there
    are none, by the text of the id in the last day.
    """
    context = context_of(request)
    context.shards(log)
    finder = _Finder(context, log, instant("from", from_), instant("to", to))
    rows = await finder.find(trace)
    if not rows:
        raise NotFound(f"no entry has the trace or request id {trace[:80]}")
    return answer({"trace": trace, "hops": hops(rows), "partial": finder.partial})


class _Finder:
    """Finds the rows of one request."""

    def __init__(self, context: Context, log: str, start: int | None, end: int | None) -> None:
        self._query, self._log, self._start, self._end = context.query, log, start, end
        self._now = int(context.clock.now().timestamp() * 1_000)
        self.partial = False

    async def find(self, id_: str) -> list[acts.Row]:
        """Returns the rows with this id, those that mention it, and those of the same requests."""
        word = acts.quoted(id_)
        found = await self._search(f"(trace:{word} OR request:{word})")
        if found:
            times = [row["time"] for row in found.values()]
            self._start, self._end = min(times) - _AROUND, max(times) + _AROUND
        elif self._start is None:
            self._start = self._now - _DAY
        # A traceparent that was captured as a header has no column of its own.
        mentions = [word] if len(id_) >= _LONG or not found else []
        others = dict.fromkeys(
            other for row in found.values() for other in acts.request_ids(row) if other != id_
        )
        words = " OR ".join(acts.quoted(one) for one in list(others)[:_ALIKE])
        alike = [f"trace:({words}) OR request:({words})"] if words else []
        if mentions or alike:
            found |= await self._search(f"({' OR '.join([*mentions, *alike])})")
        return list(found.values())

    async def _search(self, q: str) -> dict[tuple[str, int], acts.Row]:
        page = await self._query.search(
            self._log,
            q,
            start=self._start,
            end=self._end,
            limit=MAX_HOPS,
            cursor=None,
            order="oldest",
        )
        self.partial |= bool(page["next"])
        return {(row["shard"], row["index"]): row for row in page["rows"]}
