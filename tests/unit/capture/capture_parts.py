"""What the agent's tests stand on: an outlet in memory, a clock that a test moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson


class SteppingClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class MemoryOutlet:
    """Keeps what is put; `fail` is raised by the next put."""

    puts: list[tuple[str, str, list[bytes], dict[str, str]]] = field(default_factory=list)
    positions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    fail: BaseException | None = None

    def put(
        self,
        stream: str,
        source: str,
        records: Sequence[bytes],
        *,
        about: Mapping[str, str] | None = None,
        position: Mapping[str, Any] | None = None,
    ) -> int:
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        if records:
            self.puts.append((stream, source, list(records), dict(about or {})))
        if position is not None:
            self.positions[stream] = orjson.loads(orjson.dumps(position))
        return 1

    def position(self, stream: str) -> Mapping[str, Any] | None:
        return self.positions.get(stream)

    def records(self, source: str) -> list[bytes]:
        """All records of a source."""
        return [r for _, name, records, _ in self.puts if name == source for r in records]

    def events(self) -> list[dict[str, Any]]:
        """The agent's own events."""
        return [orjson.loads(record) for record in self.records("muniment")]
