"""A replica in memory: stores appends in any order, tells of them in order, and can be fenced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from threading import Condition, Thread

from muniment.errors import Fenced, MunimentError, Unavailable
from muniment.log.replica import Append, Stored


@dataclass(slots=True)
class _Put:
    append: Append
    stored: Stored
    done: bool = False


class SimulatedReplica:
    """The Replica of the tests. Up to `width` appends are under way and end in any order.

    `hold` lets nothing be stored until `release`, which may say how many. `fence_at` is the number
    of the append, counted from the first of this writer, at which another writer's fence stands.
    """

    def __init__(
        self,
        before: Sequence[Append] = (),
        *,
        seed: int = 0,
        width: int = 4,
        hold: bool = False,
        fence_at: int | None = None,
    ) -> None:
        self.trouble = ""
        self.closed = False
        self.puts = 0
        self._before = list(before)
        self._told: list[Append] = []
        self._open: list[_Put] = []
        self._random, self._width, self._fence_at = Random(seed), width, fence_at
        self._allowed = 0 if hold else 1 << 60
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="replica", daemon=True)
        self._thread.start()

    def content(self) -> list[Append]:
        """What another node finds: all before the first hole, told of or not."""
        with self._changed:
            found = [*self._before, *self._told]
            for put in self._open:
                if not put.done:
                    break
                found.append(put.append)
            return found

    def put(self, append: Append, stored: Stored) -> None:
        with self._changed:
            self.puts += 1
            self._open.append(_Put(append, stored))
            self._changed.notify_all()

    def release(self, count: int = 1 << 60) -> None:
        """Lets so many more appends be stored."""
        with self._changed:
            self._allowed += count
            self._changed.notify_all()

    def fence(self) -> None:
        """Another writer takes over: what is not stored never will be."""
        with self._changed:
            self._fence_at = len(self._told) + sum(put.done for put in self._open)
            self._changed.notify_all()

    def wait_puts(self, count: int) -> None:
        """Waits until so many appends were put."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.puts >= count, 60)

    def close(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)
            self.closed = True
            self._changed.notify_all()
        self._thread.join(60)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self.closed or self._fenced() or self._ready()):
                    self._changed.wait()
                told, error = self._next()
                last = self.closed
            for put in told:
                put.stored(error)
            if last:
                return

    def _fenced(self) -> bool:
        return self._fence_at is not None and len(self._told) >= self._fence_at and bool(self._open)

    def _ready(self) -> list[_Put]:
        room = len(self._open) if self._fence_at is None else self._fence_at - len(self._told)
        return [put for put in self._open[: min(room, self._width)] if not put.done][
            : self._allowed
        ]

    def _next(self) -> tuple[list[_Put], MunimentError | None]:
        """Stores one append, or none; returns those to tell of, and what."""
        if self.closed or self._fenced():
            told, self._open = self._open, []
            if self._fenced_by_another():
                return told, Fenced("node b took this shard over")
            return told, Unavailable("closed before it was stored")
        put = self._random.choice(self._ready())
        put.done = True
        self._allowed -= 1
        told = []
        while self._open and self._open[0].done:
            told.append(self._open.pop(0))
        self._told += [put.append for put in told]
        return told, None

    def _fenced_by_another(self) -> bool:
        return self._fence_at is not None and len(self._told) >= self._fence_at
