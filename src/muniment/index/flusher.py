"""When recent rows become parts: each log's rows in their turn, within the memory of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait

from muniment.index.log_index import LogIndex
from muniment.index.state import LogState

FLUSH_ROWS = 131_072
FLUSH_BYTES = 24 << 20
FLUSH_SECONDS = 20.0
_ALL_BYTES = 32 << 20
"""With so much in memory, logs with more than their share are flushed before the others."""
_MOST_BYTES = 48 << 20
"""With so much in memory, nothing more is read until a flush has ended."""


class Flusher:
    """Flushes the indexes of `logs` on a thread of its own.

    `failed` is told of a log that could not be flushed, `done` that a flush has ended. A log that
    is broken is opened anew first. All methods belong to the follower's thread.
    """

    def __init__(
        self,
        logs: Mapping[str, LogState],
        failed: Callable[[LogState, Exception], None],
        done: Callable[[], None],
        clock: Callable[[], float],
        *,
        rows: int = FLUSH_ROWS,
        seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._logs, self._failed, self._done, self._clock = logs, failed, done, clock
        self._rows, self._seconds = rows, seconds
        self._pool = ThreadPoolExecutor(1, "flush")

    def flush_if_due(self, state: LogState, index: LogIndex) -> None:
        """Has a log flushed if it is time; waits for that only for want of memory."""
        if state.flushing is None and (state.broken or self._is_due(index)):
            state.flushing = self._pool.submit(self._flush, state, index)
        if state.flushing is not None and self._recent_size() >= _MOST_BYTES:
            wait([state.flushing])
        if state.flushing is not None and state.flushing.done():
            state.flushing = None

    def empty(self, state: LogState, index: LogIndex) -> bool:
        """Has all of a log that is not on disk flushed, and waits; tells whether all is."""
        if state.flushing is not None:
            wait([state.flushing])
        if state.broken or not index.flushed:
            state.flushing = self._pool.submit(self._flush, state, index, at_once=True)
            wait([state.flushing])
        return index.flushed and not state.broken

    def due_in(self) -> float | None:
        """Seconds until the oldest rows in memory are due; None where there are none."""
        oldest = [
            state.index.oldest_row
            for state in self._logs.values()
            if state.index is not None and state.index.oldest_row is not None
        ]
        return min(oldest) + self._seconds - self._clock() if oldest else None

    def close(self) -> None:
        """Waits for the flush under way."""
        self._pool.shutdown()

    def _flush(self, state: LogState, index: LogIndex, *, at_once: bool = False) -> None:
        try:
            if state.broken:
                index.reopen()
                state.broken = False
                state.trouble = None
            if at_once or self._is_due(index):
                index.flush()
                state.trouble = None
        except Exception as error:  # a fault here must not stop the other logs
            self._failed(state, error)
        self._done()

    def _is_due(self, index: LogIndex) -> bool:
        oldest = index.oldest_row
        return oldest is not None and (
            index.recent_rows >= self._rows
            or index.recent_size >= self._share()
            or self._clock() - oldest >= self._seconds
        )

    def _share(self) -> int:
        """Bytes that the recent rows of one log may take: the fuller all are, the fewer."""
        return FLUSH_BYTES if self._recent_size() < _ALL_BYTES else FLUSH_BYTES // 16

    def _recent_size(self) -> int:
        states = list(self._logs.values())
        return sum(state.index.recent_size for state in states if state.index is not None)
