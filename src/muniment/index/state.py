"""What the follower knows of each log and shard, and how it tells."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from muniment.errors import MunimentError
from muniment.index.log_index import LogIndex
from muniment.index.reading import Reader


@dataclass(slots=True)
class ShardState:
    """One shard as the follower knows it; `trouble` says why it cannot be read."""

    reader: Reader
    trouble: str = ""
    retry_at: float = 0.0


@dataclass(slots=True)
class LogState:
    """One log: its index, or why there is none."""

    name: str
    shards: dict[str, ShardState] = field(default_factory=dict)
    index: LogIndex | None = None
    trouble: MunimentError | None = None
    retry_at: float = 0.0
    broken: bool = False
    flushing: Future[None] | None = None

    @property
    def lag(self) -> int:
        """Entries that are durable and not searchable yet."""
        index = self.index
        return sum(
            max(0, shard.reader.size - (0 if index is None else index.next_index(name)))
            for name, shard in list(self.shards.items())
        )

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
        "shards": shards,
    }
