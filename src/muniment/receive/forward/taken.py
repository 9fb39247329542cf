"""Chunks that came over connections that still stand, whether they were acknowledged yet or not.

Fluent Bit names a chunk by a digest of its events. A second chunk with the same events, such as
the same health check in the same second, then has the first one's id, and must not pass for a
repetition. Who waits for an acknowledgement in vain gives up its connection; so an id that comes
again while the connection over which it came first still stands is of another chunk.
"""

from __future__ import annotations

from collections import deque

MOST = 64
"""Ids that are remembered of one connection."""

Key = tuple[str, bytes]
"""A client's address without its port, and the chunk id."""


class Taken:
    """What came over all connections of a receiver that stand."""

    def __init__(self) -> None:
        self._standing: dict[Key, int] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._standing

    def connection(self) -> TakenHere:
        """Returns the part of one connection."""
        return TakenHere(self._standing)


class TakenHere:
    """What came over one connection, the newest only."""

    def __init__(self, standing: dict[Key, int]) -> None:
        self._standing = standing
        self._keys: deque[Key] = deque()

    def add(self, key: Key) -> None:
        """A chunk came."""
        self._keys.append(key)
        self._standing[key] = self._standing.get(key, 0) + 1
        if len(self._keys) > MOST:
            self._forget()

    def close(self) -> None:
        """The connection does not stand any more."""
        while self._keys:
            self._forget()

    def _forget(self) -> None:
        key = self._keys.popleft()
        self._standing[key] -= 1
        if not self._standing[key]:
            del self._standing[key]
