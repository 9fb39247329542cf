"""Back-pressure: who can wait does so while an index is well and too far behind its log."""

from __future__ import annotations

from collections.abc import Callable

from muniment.errors import IndexBehind

_RETRY_SECONDS = 1


class LagBound:
    """Refuses entries of a log whose index is more than `limit` entries behind; 0 is no limit.

    `lag` says how far the index of a log is behind, None where it is not following: an index that
    is damaged or not there holds nobody back. A backlog that it had at first (it was rebuilt, say)
    does not count: the bound is `limit` above the least lag there was since. For any thread.
    """

    def __init__(self, lag: Callable[[str], int | None], limit: int) -> None:
        self._lag, self._limit = lag, limit
        self._least: dict[str, int] = {}

    def check(self, log: str) -> None:
        """Raises IndexBehind where the sender should wait."""
        lag = self._lag(log) if self._limit else None
        if lag is None:
            self._least.pop(log, None)
            return
        least = self._least[log] = min(lag, self._least.get(log, lag))
        if lag > least + self._limit:
            raise IndexBehind(
                f"the index of {log} is {lag:,} entries behind", retry_after=_RETRY_SECONDS
            )
