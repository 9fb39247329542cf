"""The follower: reads every log from its cursor, keeps the index up with it, and never stops it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from muniment.data_names import INDEX, LOGS
from muniment.errors import MunimentError, Unavailable, UnknownLog
from muniment.index.copies import Copies
from muniment.index.damage import IndexDamaged
from muniment.index.flusher import FLUSH_ROWS, FLUSH_SECONDS, Flusher
from muniment.index.log_index import LogIndex
from muniment.index.reading import MAX_ENTRIES, OpenReader
from muniment.index.state import LogState, ShardState, furthest_behind, status_of
from muniment.index.taker import Taker
from muniment.index.turn import Turn

_TURN_SECONDS = 0.1
"""Turns begin this far apart, unless there is a whole turn to do: small ones cost as much."""
_MOST_REST_SECONDS = 0.5
"""Small turns of many shards take long: the rest after them is as long, or this."""
_MOST_PARTS = 512
"""Far behind, following goes before merging, unless searches would suffer from so many parts."""
_RETRY_SECONDS = 5.0
_MERGE_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Follower:
    """Follows all logs of a data directory, on a thread of its own, and merges on another.

    `clock` gives seconds, monotonic; `now` gives milliseconds since the epoch; `settle` is called
    after work that took much memory, to hand it back.
    """

    def __init__(
        self,
        data: Path,
        open_reader: OpenReader,
        *,
        clock: Callable[[], float],
        now: Callable[[], int],
        settle: Callable[[], None] = lambda: None,
        flush_rows: int = FLUSH_ROWS,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._data = data
        self._open_reader = open_reader
        self._clock = clock
        self._now = now
        self._turn = Turn(settle)
        self._logs: dict[str, LogState] = {}
        self._changed = Condition()
        self._stopping = False
        self._flusher = Flusher(
            self._logs, self._failed, self._wake, clock, rows=flush_rows, seconds=flush_seconds
        )
        self._taker = Taker(self._flusher, clock, settle, lambda: self._stopping)
        self._threads = [
            Thread(target=self._follow, name="follow"),
            Thread(target=self._merge, name="merge"),
        ]

    def start(self, logs: Mapping[str, Sequence[str]]) -> None:
        """Opens the indexes of these logs and begins to follow them."""
        for name, shards in logs.items():
            for shard in shards:
                self._shard(name, shard)
            self._state(name)
        for state in self._logs.values():
            self._try_open(state)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stops following, flushes, and lets go of the indexes."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._flusher.close()
        self._taker.close()
        for state in self._logs.values():
            if state.index is not None:
                try:
                    state.index.close()
                except (OSError, MunimentError) as error:
                    _log.warning("%s: the last rows were not flushed: %s", state.name, error)

    def advance(self, log: str, shard: str, size: int) -> None:
        """Tells that the first `size` entries of a shard are durable."""
        with self._changed:
            self._shard(log, shard).reader.advance(size)
            self._changed.notify_all()

    def index(self, log: str) -> LogIndex:
        """Returns the index of a log. Raises UnknownLog, or Unavailable where it cannot be used."""
        state = self._logs.get(log)
        if state is None:
            raise UnknownLog(f"there is no log {log}")
        if state.index is None:
            raise state.trouble or Unavailable(f"the index of {log} is being opened")
        if state.index.damage is not None:
            raise state.index.damage
        return state.index

    def sizes(self, log: str) -> dict[str, int]:
        """Returns the durable size of each shard of a log, as far as it was told."""
        shards = self._logs[log].shards
        return {name: shard.reader.size for name, shard in list(shards.items())}

    def cursors(self) -> dict[str, dict[str, int]]:
        """Returns for each log and shard the index of the first entry not searchable yet."""
        return {
            name: dict(state.index.snapshot.cursors)
            for name, state in list(self._logs.items())
            if state.index is not None
        }

    def following(self) -> list[str]:
        """Returns the logs whose index will reach their end if only it has the time."""
        return [name for name, state in list(self._logs.items()) if state.following]

    def duplicates(self) -> dict[str, tuple[int, int]]:
        """Returns for each log how many entries are left out as copies, and the conflicts."""
        return {
            name: (state.index.duplicates, state.copies.conflicts)
            for name, state in list(self._logs.items())
            if state.index is not None
        }

    def status(self) -> dict[str, Any]:
        """Returns the state of each log and shard; see `QueryProcess.status`."""
        return {name: status_of(state) for name, state in list(self._logs.items())}

    def _state(self, log: str) -> LogState:
        if log not in self._logs:
            copies = Copies(
                self._data / LOGS / log, self._open_reader, stopping=lambda: self._stopping
            )
            self._logs[log] = LogState(log, copies)
        return self._logs[log]

    def _shard(self, log: str, shard: str) -> ShardState:
        shards = self._state(log).shards
        if shard not in shards:
            reader = self._open_reader(self._data / LOGS / log / shard)
            shards[shard] = ShardState(reader)
        return shards[shard]

    def _try_open(self, state: LogState) -> None:
        try:
            state.index = LogIndex(
                self._data / INDEX / state.name,
                state.name,
                clock=self._clock,
                now=self._now,
                turn=self._turn,
            )
            state.trouble = None
        except MunimentError as error:
            state.trouble = error
        except OSError as error:
            state.trouble = Unavailable(f"the index of {state.name} cannot be opened: {error}")
        if state.trouble is not None:
            _log.error("%s", state.trouble.detail)
            state.retry_at = self._clock() + _RETRY_SECONDS

    def _follow(self) -> None:
        while not self._stopping:
            began = self._clock()
            busy = False
            for state in list(self._logs.values()):
                busy |= self._serve(state)
            with self._changed:
                if busy:
                    took = self._clock() - began
                    rest = max(_TURN_SECONDS - took, min(took, _MOST_REST_SECONDS))
                    self._changed.wait_for(lambda: self._stopping or self._pressed(), rest)
                elif not self._stopping and not self._behind():
                    self._changed.wait(self._pause())

    def _pressed(self) -> bool:
        """Whether there is a whole turn to do."""
        return any(state.lag >= MAX_ENTRIES for state in list(self._logs.values()))

    def _behind(self) -> bool:
        now = self._clock()
        return any(
            shard.reader.size > state.index.next_index(name)
            and shard.retry_at <= now
            and state.retry_at <= now
            for state in self._logs.values()
            if state.index is not None and state.index.damage is None
            for name, shard in state.shards.items()
        )

    def _pause(self) -> float:
        """Seconds until something is due that no call announces."""
        due = self._flusher.due_in()
        return 1.0 if due is None else min(max(due, 0.01), 1.0)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _serve(self, state: LogState) -> bool:
        """Reads a piece of each shard of a log, flushes when due; tells whether there was any."""
        now = self._clock()
        if state.retry_at > now:
            return False
        if state.index is None:
            if isinstance(state.trouble, IndexDamaged):
                return False
            self._try_open(state)
            return state.index is not None
        if state.index.damage is not None:
            return False
        self._flusher.flush_if_due(state, state.index)
        try:
            busy = False
            first = furthest_behind(state, now)
            for name, shard in list(state.shards.items()):
                if name == first or not shard.is_far_behind(state.index.next_index(name)):
                    busy |= self._taker.take(state, state.index, name, shard)
            return busy
        except Exception as error:  # a fault here must not stop the other logs
            self._failed(state, error)
            return False

    def _failed(self, state: LogState, error: Exception) -> None:
        """Notes why a log is not followed for now."""
        if isinstance(error, MunimentError):
            state.trouble = error
        else:
            if not isinstance(error, OSError):
                _log.error("%s cannot be followed", state.name, exc_info=error)
            what = "written" if isinstance(error, OSError) else "followed"
            state.trouble = Unavailable(f"the index of {state.name} cannot be {what}: {error}")
            state.broken = True
        _log.error("%s", state.trouble.detail)
        state.retry_at = self._clock() + _RETRY_SECONDS

    def _merge(self) -> None:
        while not self._stopping:
            for state in list(self._logs.values()):
                if state.index is not None and state.index.damage is None and not state.broken:
                    self._merge_one(state, state.index)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, _MERGE_SECONDS)

    def _postponed(self, state: LogState, index: LogIndex) -> bool:
        """Whether a merge would keep the follower from catching up."""
        return state.is_far_behind and len(index.snapshot.parts) < _MOST_PARTS

    def _merge_one(self, state: LogState, index: LogIndex) -> None:
        try:
            for name, shard in list(state.shards.items()):
                index.forget(name, shard.reader.refresh())
            while not self._stopping and not self._postponed(state, index) and index.merge():
                pass
        except MunimentError as error:
            _log.error("%s", error.detail)
        except OSError as error:
            _log.error("%s: parts could not be merged: %s", state.name, error)
            state.broken = True
        except Exception:  # a fault here must not stop the other logs
            _log.exception("%s: parts could not be merged", state.name)
            state.broken = True
