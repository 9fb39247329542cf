"""How far a writer's own term can be cleaned: what its cleaner must know, in bounded memory."""

from __future__ import annotations

from collections import deque

SPACING = 1.0
"""Seconds between two statements that are remembered."""


class Progress:
    """Fed by the replica as slots are confirmed, asked by the cleaner. The caller locks."""

    def __init__(self) -> None:
        self._segments: deque[tuple[int, int]] = deque()
        self._statements: deque[tuple[float, int]] = deque()

    def stored(self, slot: int, segment: int, stated: int, now: float) -> None:
        """Notes an object: its slot, its last append's segment, the confirmed slots it states."""
        if self._segments and self._segments[-1][0] == segment:
            self._segments[-1] = segment, slot
        else:
            self._segments.append((segment, slot))
        if not self._statements or now - self._statements[-1][0] >= SPACING:
            self._statements.append((now, stated))

    def removable(self, covered: int, now: float, settle: float) -> int:
        """Returns how many slots, from 0, may be removed.

        Their segments begin below `covered`, and for `settle` seconds an object has been there
        that states them to be confirmed.
        """
        while len(self._statements) > 1 and self._statements[1][0] <= now - settle:
            self._statements.popleft()
        if not self._statements or self._statements[0][0] > now - settle:
            return 0
        done = 0
        for segment, slot in self._segments:
            if segment >= covered:
                break
            done = slot + 1
        return min(done, self._statements[0][1])

    def forget(self, slots: int) -> int:
        """Drops what is known of the segments whose slots are all below `slots`; returns that."""
        while self._segments and self._segments[0][1] < slots:
            self._segments.popleft()
        return slots
