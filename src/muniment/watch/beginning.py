"""How the books of a log are begun: from the looks of the last while, behind what was told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from muniment.event.served import served
from muniment.watch.books import Books
from muniment.watch.port import Query
from muniment.watch.records import ACTIONS, Counted, Numbered, fields_of, milliseconds
from muniment.watch.segment import Look
from muniment.watch.sequence import Sequence

LOOK_BACK_MS = 3_600_000
"""Without books, looks from so long ago are read again."""

PAGE = 1_000
COUNTERS = "source:counters"
OWN = f"via:muniment source:muniment action:{ACTIONS}*"
"""The records that the follower put: nobody else can write `via`."""


async def begin(query: Query, log: str, until: Mapping[str, int], now: int) -> Books:
    """New books from the looks of the last while; no stretch that was told is counted again."""
    books = Books()
    start = now - LOOK_BACK_MS
    told: dict[Counted, int] = {}
    async for row in _found(query, log, OWN, start):
        fields = fields_of(row)
        end = milliseconds(fields.get("to"))
        if fields.get("reason") == "counters" and end is not None:
            key = counted(fields)
            told[key] = max(end, told.get(key, end))
    async for row in _found(query, log, COUNTERS, start):
        take_look(books, row, told)
    books.after = {shard: size - 1 for shard, size in until.items()}
    parcels = await query.sequences(
        log, since={s: max(0, n - 100_000) for s, n in until.items()}, until=until
    )
    for one in parcels:
        name = Numbered(one["sender"], one["stream"])
        begun = Sequence(one["first"], one["last"], now)
        known = books.streams.setdefault(name, begun)
        known.last = max(known.last, one["last"])
    books.seen = dict(until)
    return books


async def _found(query: Query, log: str, q: str, start: int) -> AsyncIterator[Mapping[str, Any]]:
    """Yields the rows of a search from `start` on, oldest first."""
    cursor: str | None = None
    while True:
        answer = await query.search(log, q, start=start, limit=PAGE, cursor=cursor, order="oldest")
        for row in answer["rows"]:
            yield row
        cursor = answer["next"]
        if not cursor:
            return


def take_look(books: Books, row: Mapping[str, Any], told: Mapping[Counted, int]) -> None:
    """Enters a look at counters into the books, but not before what was told of a counter."""
    look = fields_of(row)
    received = milliseconds(row.get("received"))
    if received is None or not isinstance(look.get("instance"), str):
        return
    for one in served(look):
        key = Counted(str(row.get("sender") or ""), look["instance"], one.name)
        if row["time"] < told.get(key, row["time"]):
            continue
        ledger = books.ledger(key)
        if ledger is not None:
            ledger.take(Look(row["time"], one.served, one.epoch, received), one.match)


def counted(fields: Mapping[str, Any]) -> Counted:
    """The counter that a record of our own is about."""
    return Counted(*(str(fields.get(name) or "") for name in ("sender", "instance", "name")))
