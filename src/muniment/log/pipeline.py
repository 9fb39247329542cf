"""What is on its way to the replica, in order, and within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from muniment.errors import MunimentError
from muniment.log.plan import Planned
from muniment.log.replica import Replica
from muniment.log.waiting import Waiting

IN_FLIGHT_BYTES = 64 << 20
IN_FLIGHT_APPENDS = 1024


@dataclass(slots=True)
class InFlight:
    """An append, the batches in it, and those that came again meanwhile.

    `told` says that the replica has spoken: `error` is None where it stored the append.
    """

    planned: Planned
    fresh: Sequence[Waiting] = ()
    repeated: list[Waiting] = field(default_factory=list)
    size: int = 0
    told: bool = False
    error: MunimentError | None = None


class Pipeline:
    """The appends that were planned and are not in the local files yet, oldest first.

    For the writer's thread alone; only `told` is called on a thread of the replica's.
    """

    def __init__(self, replica: Replica, told: Callable[[], None]) -> None:
        self._replica, self._told = replica, told
        self._items: deque[InFlight] = deque()
        self._ids: dict[str, InFlight] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def room(self) -> bool:
        """Whether another append may be planned."""
        return self._bytes < IN_FLIGHT_BYTES and len(self._items) < IN_FLIGHT_APPENDS

    @property
    def head(self) -> InFlight | None:
        """The oldest append if the replica has spoken on it."""
        return self._items[0] if self._items and self._items[0].told else None

    @property
    def ending(self) -> MunimentError | None:
        """Why the newest append, and every later one, is not stored; None while that is open."""
        return self._items[-1].error if self._items else None

    def joins(self, waiting: Waiting) -> bool:
        """Takes a batch whose id is on its way already; says whether it is."""
        item = self._ids.get(waiting.batch.id) if waiting.batch.id is not None else None
        if item is None:
            return False
        item.repeated.append(waiting)
        item.size += waiting.batch.size
        self._bytes += waiting.batch.size
        return True

    def put(
        self, planned: Planned, fresh: Sequence[Waiting] = (), repeated: Sequence[Waiting] = ()
    ) -> None:
        """Gives an append to the replica."""
        size = planned.length + sum(w.batch.size for w in (*fresh, *repeated))
        item = InFlight(planned, fresh, list(repeated), size)
        self._items.append(item)
        self._bytes += size
        for waiting in fresh:
            if waiting.batch.id is not None:
                self._ids[waiting.batch.id] = item

        def stored(error: MunimentError | None) -> None:
            item.error, item.told = error, True
            self._told()

        self._replica.put(planned.append(), stored)

    def pop(self) -> InFlight:
        """Takes the oldest append off."""
        item = self._items.popleft()
        self._bytes -= item.size
        for waiting in item.fresh:
            if waiting.batch.id is not None:
                del self._ids[waiting.batch.id]
        return item

    def clear(self) -> list[Waiting]:
        """Takes everything off and returns the batches that wait in it."""
        batches = [w for item in self._items for w in (*item.fresh, *item.repeated)]
        self._items.clear()
        self._ids.clear()
        self._bytes = 0
        return batches
