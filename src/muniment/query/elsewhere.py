"""Search at a node without the role query: every question is refused, nothing is behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from muniment.errors import Unavailable


class Elsewhere:
    """Stands in for the query process; see `query.client.QueryProcess`."""

    async def start(self) -> None:
        """Nothing is to be started."""

    async def close(self) -> None:
        """Nothing is to be ended."""

    def advance(self, log: str, shard: str, size: int) -> None:
        """Nobody follows the logs here."""

    def lag(self, log: str) -> None:  # noqa: ARG002
        """Nothing follows, so nobody is to wait for it."""
        return

    def duplicates(self, log: str) -> tuple[int, int]:  # noqa: ARG002
        """Nothing is left out here."""
        return 0, 0

    async def status(self) -> dict[str, Any]:
        """Refuses, as all below do: raises Unavailable."""
        self._refuse()

    async def search(self, log: str, q: str, **asked: Any) -> dict[str, Any]:  # noqa: ARG002
        self._refuse()

    async def histogram(self, log: str, q: str, **asked: Any) -> dict[str, Any]:  # noqa: ARG002
        self._refuse()

    async def sql(
        self,
        statement: str,  # noqa: ARG002
        *,
        log: str | Sequence[str],  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> dict[str, Any]:
        self._refuse()

    async def tail(
        self,
        log: str,  # noqa: ARG002
        q: str,  # noqa: ARG002
        *,
        after: Mapping[str, int],  # noqa: ARG002
        limit: int,  # noqa: ARG002
        wait: float,  # noqa: ARG002
    ) -> dict[str, Any]:
        self._refuse()

    async def ask(self, question: str, log: str, **asked: Any) -> dict[str, Any]:  # noqa: ARG002
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Unavailable(
            "this node has no index (its roles do not include query): ask a query node",
            retry_after=60,
        )
