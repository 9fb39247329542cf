"""The agent's watchers without the agent: what one look after another finds."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from muniment.capture.port import Watcher
from muniment.capture.watch import Watch
from muniment.clock import SystemClock

from .waiting import wait_for

QUIET_SECONDS = float(os.environ.get("MUNIMENT_TEST_QUIET_SECONDS", "0"))
Event = dict[str, Any]


class Watching:
    """Looks through a watcher whenever it is asked, and keeps what it put."""

    def __init__(self, watcher: Watcher, directory: Path) -> None:
        self._positions: dict[str, Mapping[str, Any]] = {}
        self._new: list[Event] = []
        self.counters: dict[str, Event] = {}
        self.health: list[Event] = []
        directory.mkdir(parents=True, exist_ok=True)
        self._watch = Watch(watcher, self, directory, SystemClock())

    def look(self) -> list[Event]:
        """Looks once and returns the change events, by object name."""
        self._new = []
        self._watch.look()
        return sorted(self._new, key=lambda event: event["object"])

    def changed(self, *objects: str) -> dict[str, Event]:
        """Looks until something changed; it must be just these objects, each once."""
        found: list[Event] = []

        def complete() -> bool:
            found.extend(self.look())
            return {event["object"] for event in found} >= set(objects)

        wait_for(complete, lambda: f"{objects}, not {[event['object'] for event in found]}", 20)
        assert sorted(event["object"] for event in found) == sorted(objects)
        return {event["object"]: event for event in found}

    def quiet(self, looks: int = 5) -> None:
        """Looks some times, and as long as QUIET_SECONDS say; there must be nothing to tell."""
        ends = time.monotonic() + QUIET_SECONDS
        for _ in range(looks):
            assert self.look() == []
        while time.monotonic() < ends:
            time.sleep(1)
            assert self.look() == []
        assert self.health == []

    def put(
        self,
        stream: str,
        source: str,
        records: Sequence[bytes],
        *,
        about: Mapping[str, str] | None = None,
        position: Mapping[str, Any] | None = None,
    ) -> int:
        for event in map(orjson.loads, records):
            if source == "change":
                self._new.append(event)
            elif source == "counters":
                self.counters = {one["name"]: one for one in event["counters"]}
            else:
                self.health.append(event)
        if position is not None:
            self._positions[stream] = position
        return 1

    def position(self, stream: str) -> Mapping[str, Any] | None:
        return self._positions.get(stream)


@contextlib.contextmanager
def watching(watcher: Watcher, directory: Path) -> Iterator[Watching]:
    """A watcher that has looked once, with nothing that it could not see."""
    try:
        made = Watching(watcher, directory)
        assert all(event["change"] == "observe" for event in made.look())
        assert made.health == []
        yield made
    finally:
        watcher.close()
