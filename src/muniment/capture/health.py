"""The agent's own events, in its own stream: what it did, what it could not do, and signed heads.

They are entries of the source `muniment` in native form, with actions `capture.*`. Whoever notes
one does not wait: a thread of its own puts them. Every minute, and when the agent stops, the heads
of all streams are signed (see `chain`); what lies between two such notes cannot be taken out of a
log without contradicting the later one.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Condition, Event

import orjson

from muniment.capture.chain import Head, heads_text
from muniment.capture.port import Outlet, Stopped
from muniment.capture.snapshot import Json
from muniment.capture.spool.spool import HEALTH
from muniment.capture.text import plain
from muniment.clock import Clock, rfc3339
from muniment.errors import MunimentError
from muniment.log.note import Signer

SOURCE = "muniment"
MAX_NOTES = 10_000
HEADS_RECORDS = 1_000_000
"""After so many records of any stream the heads are signed before their time."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Boot:
    """How the agent starts: the version, and the digest of its configuration."""

    version: str
    config: str


class Health:
    """Takes notes from all threads; `run` puts them, from one."""

    stream = HEALTH

    def __init__(
        self,
        signer: Signer,
        heads: Callable[[], Mapping[str, Head]],
        clock: Clock,
        *,
        heads_every: float,
    ) -> None:
        self._signer, self._heads, self._clock = signer, heads, clock
        self._heads_every = heads_every
        self._notes: deque[dict[str, object]] = deque()
        self._changed = Condition()
        self._left_out = 0
        self._signed: Mapping[str, Head] = {}
        self._position: Mapping[str, Json] | None = None

    def note(self, action: str, **fields: object) -> None:
        """Tells of something; `action` begins with `capture.`. Waits for nothing."""
        agent = self._signer.verifier.name
        event = {
            "time": rfc3339(self._clock.now()),
            "actor": SOURCE,
            "action": action,
            "resource": f"capture:{agent}",
            **{key: plain(value) for key, value in fields.items()},
        }
        _logger.info("%s %s", action, fields)
        with self._changed:
            if len(self._notes) >= MAX_NOTES:
                self._left_out += 1
                return
            self._notes.append(event)
            self._changed.notify_all()

    def started(self, outlet: Outlet, boot: Boot) -> None:
        """Notes that the agent starts, goes on after a crash, or has another configuration."""
        before = outlet.position(HEALTH)
        self._position = {"config": boot.config, "stopped": False}
        verifier = str(self._signer.verifier)
        resumed = before is not None and not before.get("stopped")
        action = "capture.resume" if resumed else "capture.start"
        self.note(action, version=boot.version, verifier=verifier, config=boot.config)
        if before is not None and before.get("config") != boot.config:
            self.note("capture.config", config=boot.config, previous=before.get("config"))

    def stopped(self, outlet: Outlet, boot: Boot) -> None:
        """Says that the agent stops in the ordinary way, and signs the heads."""
        self.note("capture.stop")
        self._position = {"config": boot.config, "stopped": True}
        self._put(outlet)
        self._put_heads(outlet)

    def run(self, outlet: Outlet, stopping: Event) -> None:
        """Puts what is noted, and signs heads now and then, until `stopping` is set."""
        due = self._clock.monotonic() + self._heads_every
        while not stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._notes), 0.5)
            try:
                self._put(outlet)
                if self._clock.monotonic() >= due or self._many():
                    due = self._clock.monotonic() + self._heads_every
                    self._put_heads(outlet)
            except Stopped:
                return
            except MunimentError as error:
                _logger.error("an event of the agent itself was lost: %s", error)

    def _many(self) -> bool:
        return any(
            head.last - (self._signed[name].last if name in self._signed else 0) >= HEADS_RECORDS
            for name, head in self._heads().items()
        )

    def _put(self, outlet: Outlet) -> None:
        with self._changed:
            notes = list(self._notes)
            self._notes.clear()
            left_out, self._left_out = self._left_out, 0
            position, self._position = self._position, None
        records = [orjson.dumps(note, default=str) for note in notes]
        if left_out:
            records.append(orjson.dumps({"action": "capture.notes_left_out", "count": left_out}))
        outlet.put(HEALTH, SOURCE, records, position=position)

    def _put_heads(self, outlet: Outlet) -> None:
        heads = dict(self._heads())
        own = f"{self._signer.verifier.name}/{HEALTH}"
        others = {name for name, head in heads.items() if self._signed.get(name) != head}
        if not others - {own}:
            return
        agent = self._signer.verifier.name
        self._signed = heads
        self.note(
            "capture.heads",
            note=self._signer.sign(heads_text(agent, heads)),
            verifier=str(self._signer.verifier),
        )
        self._put(outlet)
