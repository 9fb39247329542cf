"""What a query says about time, shard and index, to leave out parts without opening them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from muniment.query.condition import term_span
from muniment.query.syntax import And, Between, Compare, Match, Query

_FAR = 1 << 62


@dataclass(frozen=True, slots=True)
class Bounds:
    """Half-open ranges of time (ms) and index that hold every row that can match.

    `shard` is the only shard with such rows; None where it can be any.
    """

    start: int = -_FAR
    end: int = _FAR
    first: int = -_FAR
    after: int = _FAR
    shard: str | None = None

    def meet(self, other: Bounds) -> Bounds:
        """The rows that lie within both."""
        return Bounds(
            max(self.start, other.start),
            min(self.end, other.end),
            max(self.first, other.first),
            min(self.after, other.after),
            self.shard if other.shard is None else other.shard,
        )


def bounds(query: Query) -> Bounds:
    """Returns the bounds that a query sets by its terms on `time`, `index` and `shard`."""
    match query:
        case And(parts):
            found = Bounds()
            for part in parts:
                found = found.meet(bounds(part))
            return found
        case Match() | Compare() | Between():
            return _of_term(query)
    return Bounds()


def _of_term(term: Match | Compare | Between) -> Bounds:
    if isinstance(term, Match) and (not term.word.plain):
        return Bounds()
    if term.field == "shard" and isinstance(term, Match):
        return Bounds(shard=term.word.pieces[0])
    if term.field == "time":
        start, end = term_span(term)
        return Bounds(start=-_FAR if start is None else start, end=_FAR if end is None else end)
    if term.field == "index":
        with suppress(ValueError):  # 1xx, or no number at all: `condition` says what it means
            return _index(term)
    return Bounds()


def _index(term: Match | Compare | Between) -> Bounds:
    if isinstance(term, Match):
        value = int(term.word.pieces[0])
        return Bounds(first=value, after=value + 1)
    if isinstance(term, Between):
        return Bounds(first=int(term.low), after=int(term.high) + 1)
    value = int(term.value)
    match term.operator:
        case ">=":
            return Bounds(first=value)
        case ">":
            return Bounds(first=value + 1)
        case "<":
            return Bounds(after=value)
    return Bounds(after=value + 1)
