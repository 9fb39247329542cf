"""What the follower of completeness needs: answers about entries, and a way into the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Sequence as Several
from typing import Any, Protocol

from muniment.query.stretch import Tally
from muniment.watch.records import Record

Put = Callable[[Several[Record]], Awaitable[None]]
"""Makes records durable in the log. Raises MunimentError where it will not take them."""


class Query(Protocol):
    """What is asked of the query process; see `muniment.query.QueryProcess`."""

    async def search(
        self, log: str, q: str, *, start: int, limit: int, cursor: str | None, order: str
    ) -> dict[str, Any]: ...

    async def tail(
        self, log: str, q: str, *, after: Mapping[str, int], limit: int, wait: float
    ) -> dict[str, Any]: ...

    async def tally(
        self,
        log: str,
        q: str,
        *,
        borders: Several[int],
        settled: int,
        since: Mapping[str, int],
        until: Mapping[str, int],
    ) -> Tally: ...

    def indexed(self, log: str) -> Mapping[str, int]: ...

    async def sequences(
        self, log: str, *, since: Mapping[str, int], until: Mapping[str, int]
    ) -> list[dict[str, Any]]: ...
