"""Memory for messages that are not in the intake yet, of all connections together.

When it is full, the message that has been unfinished for the longest time goes, with its
connection: one that is sent at an honest pace is whole long before.
"""

from __future__ import annotations

from typing import Protocol


class Owner(Protocol):
    """Whose message can be told to go."""

    def evict(self) -> None:
        """Gives up its message and its connection."""


class Room:
    """`bound` bytes for unfinished messages and for those that are being taken apart."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._unfinished: dict[Owner, int] = {}
        self._sum = 0
        self.working = 0
        self.evicted = 0

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self._sum + self.working

    def hold(self, owner: Owner, size: int, *, new: bool) -> None:
        """An owner has so many bytes of an unfinished message; `new` says that it just began.

        Evicts the oldest, which can be this one, until all fits.
        """
        if new or not size:
            self._sum -= self._unfinished.pop(owner, 0)
        if size:
            self._sum += size - self._unfinished.get(owner, 0)
            self._unfinished[owner] = size
        while self.used > self._bound and self._unfinished:
            oldest = next(iter(self._unfinished))
            self._sum -= self._unfinished.pop(oldest)
            self.evicted += 1
            oldest.evict()
