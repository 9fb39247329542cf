"""How a store fares: what failed, since when, which objects are not what they must be."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from muniment.clock import Clock, rfc3339
from muniment.store.archive.port import Record, Tell

LONG_SECONDS = 60.0
"""A store that fails for so long is put on record."""

MAX_CONFLICTS = 1_000
CONFLICT, FAILING, RECOVERED = "archive.conflict", "archive.failing", "archive.recovered"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Conflict:
    """An object that is not what it must be, at the store or on the local disk."""

    log: str
    shard: str
    name: str
    detail: str


class Health:
    """Counts failures of one store and tells of them, each once. Safe for several threads."""

    def __init__(self, store: str, logs: Sequence[str], tell: Tell, clock: Clock) -> None:
        self._store, self._logs, self._tell, self._clock = store, logs, tell, clock
        self._mutex = Lock()
        self._failures: Counter[str] = Counter()
        self._conflicts: dict[tuple[str, str, str], Conflict] = {}
        self._since: float | None = None
        self._since_text = ""
        self._told = False
        self.last_error = ""

    @property
    def failures(self) -> dict[str, int]:
        """Failed tries since the start by reason: those of StoreFailing; local, evidence, fault."""
        with self._mutex:
            return dict(self._failures)

    @property
    def conflicts(self) -> list[Conflict]:
        """Objects that are not what they must be."""
        with self._mutex:
            return list(self._conflicts.values())

    @property
    def failing_since(self) -> str:
        """RFC 3339; empty while all goes well."""
        return self._since_text if self._since is not None else ""

    @property
    def trouble(self) -> str:
        """Why not all is well, in words; or nothing."""
        conflicts = self.conflicts
        if conflicts:
            return conflicts[0].detail
        return self.last_error if self._since is not None else ""

    def failed(self, reason: str, detail: str) -> None:
        """Counts a failed try; one that goes on for long is put on record."""
        now = self._clock.monotonic()
        with self._mutex:
            self._failures[reason] += 1
            self.last_error = detail
            if self._since is None:
                self._since, self._since_text = now, rfc3339(self._clock.now())
                _log.warning("%s: %s", self._store, detail)
            long = not self._told and now - self._since >= LONG_SECONDS
            self._told |= long
        if long:
            message = f"the store {self._store} fails since {self._since_text}: {detail}"
            self._tell_all(self._record(FAILING, "failure", message) | {"reason": reason})

    def well(self, log: str, shard: str, name: str) -> None:
        """Says that an object is what it must be."""
        with self._mutex:
            self._conflicts.pop((log, shard, name), None)

    def recovered(self) -> None:
        """Says that the store does all that is asked."""
        with self._mutex:
            told, since = self._told, self._since_text
            self._since, self._told = None, False
        if told:
            message = f"the store {self._store} works again; it failed since {since}"
            self._tell_all(self._record(RECOVERED, "success", message))

    def conflict(self, log: str, shard: str, name: str, detail: str) -> None:
        """Notes an object that is not what it must be; put on record once."""
        key = (log, shard, name)
        with self._mutex:
            self._failures["evidence"] += 1
            self.last_error = detail
            known = key in self._conflicts or len(self._conflicts) >= MAX_CONFLICTS
            if not known:
                self._conflicts[key] = Conflict(log, shard, name, detail)
        if not known:
            _log.error("%s/%s: %s", log, shard, detail)
            self._tell(log, self._record(CONFLICT, "failure", detail) | {"shard": shard})

    def _tell_all(self, record: Record) -> None:
        for log in self._logs:
            self._tell(log, record)

    def _record(self, action: str, outcome: str, message: str) -> Record:
        return {
            "time": rfc3339(self._clock.now()),
            "action": action,
            "resource": f"store:{self._store}",
            "outcome": outcome,
            "message": message,
        }
