"""Where batches wait for the disk: bounded in bytes, and taken a group commit at a time."""

from __future__ import annotations

from collections import deque

from muniment.log.batch import Batch
from muniment.log.waiting import Waiting

GROUP_BYTES = 8 << 20
GROUP_BATCHES = 4096


class BatchQueue:
    """Batches in the order in which they came, `size` bytes of entries, at most `bound`.

    For one thread at a time: whoever owns the queue holds a lock, but for its length.
    """

    def __init__(self, bound: int) -> None:
        self.size = 0
        self._bound = bound
        self._batches: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def has_room(self, batch: Batch) -> bool:
        """Whether a batch may come in: one larger than the bound may where it is alone."""
        return not self._batches or self.size + batch.size <= self._bound

    def put(self, waiting: Waiting) -> None:
        """Adds a batch at the end."""
        self._batches.append(waiting)
        self.size += waiting.batch.size

    def take_group(self) -> list[Waiting]:
        """Takes off as many of the oldest as go into one group commit, one at least if any."""
        group: list[Waiting] = []
        size = 0
        while self._batches and len(group) < GROUP_BATCHES:
            if group and size + self._batches[0].batch.size > GROUP_BYTES:
                break
            waiting = self._batches.popleft()
            size += waiting.batch.size
            group.append(waiting)
        self.size -= size
        return group

    def take_all(self) -> list[Waiting]:
        """Takes everything off."""
        batches = list(self._batches)
        self._batches.clear()
        self.size = 0
        return batches
