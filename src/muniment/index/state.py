"""What the follower knows of each log and shard, and how it tells."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from muniment.errors import MunimentError
from muniment.index.copies import Copies
from muniment.index.log_index import LogIndex
from muniment.index.reading import Reader

FAR_BEHIND = 250_000
"""Entries; the index of a shard that has more to come takes many at once."""


@dataclass(slots=True)
class ShardState:
    """One shard as the follower knows it; `trouble` says why it cannot be read.

    `reached` is when its last row in the index was received, in microseconds since the epoch.
    """

    reader: Reader
    trouble: str = ""
    retry_at: float = 0.0
    reached: int = 0

    def is_far_behind(self, next_index: int) -> bool:
        """Whether more than FAR_BEHIND entries are not in the index, where `next_index` is next."""
        return self.reader.size - next_index > FAR_BEHIND

    def note(self, table: pa.Table) -> None:
        """Notes how far the rows of a turn go."""
        if table.num_rows:
            self.reached = table["received"][-1].cast(pa.int64()).as_py() or self.reached

    def noted(self, turns: Iterator[tuple[pa.Table, int]]) -> Iterator[tuple[pa.Table, int]]:
        """Passes turns on, and notes how far each goes."""
        for table, after in turns:
            self.note(table)
            yield table, after
            del table


@dataclass(slots=True)
class LogState:
    """One log: its index, or why there is none."""

    name: str
    copies: Copies
    shards: dict[str, ShardState] = field(default_factory=dict)
    index: LogIndex | None = None
    trouble: MunimentError | None = None
    retry_at: float = 0.0
    broken: bool = False
    flushing: Future[None] | None = None

    @property
    def readers(self) -> dict[str, Reader]:
        """What reads each shard."""
        return {name: shard.reader for name, shard in list(self.shards.items())}

    @property
    def lag(self) -> int:
        """Entries that are durable and not searchable yet."""
        index = self.index
        return sum(
            max(0, shard.reader.size - (0 if index is None else index.next_index(name)))
            for name, shard in list(self.shards.items())
        )

    @property
    def is_far_behind(self) -> bool:
        """Whether more than FAR_BEHIND entries are not searchable yet."""
        return self.lag > FAR_BEHIND

    @property
    def following(self) -> bool:
        """Whether nothing but time keeps the index from reaching the end of its log."""
        return (
            self.index is not None
            and self.index.damage is None
            and self.trouble is None
            and not self.broken
            and not any(shard.trouble for shard in list(self.shards.values()))
        )


def furthest_behind(state: LogState, now: float) -> str | None:
    """Returns of the shards that are far behind the one to go on with.

    It is the one whose rows are the oldest: so copies in several shards are not far from each
    other in the order of reading, whatever the sizes of the shards are.
    """
    index = state.index
    if index is None:
        return None
    behind = [
        (shard.reached, name)
        for name, shard in list(state.shards.items())
        if shard.is_far_behind(index.next_index(name)) and shard.retry_at <= now
    ]
    return min(behind)[1] if behind else None


def status_of(state: LogState) -> dict[str, Any]:
    """Returns the state of a log and its shards; see `QueryProcess.status`."""
    index = state.index
    shards: dict[str, dict[str, Any]] = {}
    for name, shard in list(state.shards.items()):
        indexed = index.next_index(name) if index is not None else 0
        size = shard.reader.size
        shards[name] = {"indexed": indexed, "size": size, "lag": max(0, size - indexed)}
        if shard.trouble:
            shards[name]["trouble"] = shard.trouble
    trouble = index.damage if index is not None and index.damage is not None else state.trouble
    return {
        "state": "ready" if trouble is None else trouble.slug,
        "detail": "" if trouble is None else trouble.detail,
        "rows": index.snapshot.rows if index is not None else 0,
        "memory_rows": index.recent_rows if index is not None else 0,
        "memory_bytes": index.recent_size if index is not None else 0,
        "parts": len(index.snapshot.parts) if index is not None else 0,
        "duplicates": index.duplicates if index is not None else 0,
        "conflicts": state.copies.conflicts,
        "shards": shards,
    }
