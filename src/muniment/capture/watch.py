"""Runs one watcher: compares each look with the one before, and puts what differs.

Change events (source `change`) and counters (source `counters`) go into the watcher's stream. Its
position holds the digest of what is known (see `known`) and when each scope was last looked at with
success: what changed while the agent was down is an event of the first look after, with an honest
`since`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import orjson

from muniment.capture.attestation import attested
from muniment.capture.change import SOURCE, change, record
from muniment.capture.known import Known, Scope, Seen
from muniment.capture.parcel import MAX_RECORD
from muniment.capture.port import Counter, Observation, Outlet, Stopped, Watcher
from muniment.capture.snapshot import Json, Snapshot, canonical
from muniment.capture.text import plain
from muniment.clock import Clock, rfc3339
from muniment.errors import MunimentError
from muniment.log.disk import Disk, PosixDisk
from muniment.log.note import Signer

COUNTERS = "counters"
REPEAT_SECONDS = 60.0
"""Counters that stand still, and the times of looking, are put again after so long."""

MAX_STATE = MAX_RECORD // 2
"""Bytes of a state; of a larger one, its version and its size are all that is captured."""


@dataclass(slots=True)
class _Look:
    """What one round of looks found."""

    events: list[bytes] = field(default_factory=list)
    scopes: dict[str, Scope] = field(default_factory=dict)
    looked: dict[str, str] = field(default_factory=dict)
    counters: list[Counter] = field(default_factory=list)
    counted: str = ""


class Watch:
    """A watcher and what it saw last. `run` belongs to one thread."""

    def __init__(
        self,
        watcher: Watcher,
        outlet: Outlet,
        known: Path,
        clock: Clock,
        disk: Disk | None = None,
        signer: Signer | None = None,
    ) -> None:
        """`known` is the directory where what was seen is kept. Raises OSError.

        `signer` has the agent's key, which signs each change event.
        """
        self._watcher, self._outlet, self._clock = watcher, outlet, clock
        self._signer = signer
        self._known = Known(disk or PosixDisk(), known, watcher.name)
        position = outlet.position(watcher.name) or {}
        self._digest = str(position.get("known") or "")
        self._scopes: dict[str, Scope] = dict(self._known.load(self._digest))
        looked = position.get("looked")
        self._looked: dict[str, Json] = dict(looked) if isinstance(looked, dict) else {}
        self._failing: dict[str, str] = {}
        self._counted: list[Counter] = []
        self._moving = False
        self._due = 0.0

    def run(self, stopping: Event) -> None:
        """Looks every so often until `stopping` is set. Raises OSError of the state directory."""
        try:
            while not stopping.is_set():
                began = self._clock.monotonic()
                self.look()
                stopping.wait(max(0.0, began + self._watcher.every - self._clock.monotonic()))
            self._put("muniment", [])
        except Stopped:
            return

    def look(self) -> int:
        """Looks once and returns the number of change events. Raises Stopped and OSError."""
        look = _Look()
        began = rfc3339(self._clock.now())
        observations = iter(self._watcher.observe())
        while True:
            try:
                observation = next(observations, None)
            except MunimentError as error:
                self._tell("", error.detail)
                break
            if observation is None:
                self._tell("", "")
                break
            self._take(look, observation, began, rfc3339(self._clock.now()))
        self._keep(look)
        return len(look.events)

    def _take(self, look: _Look, seen: Observation, began: str, now: str) -> None:
        if seen.counters:
            look.counters += seen.counters
            look.counted = seen.counted or now
        try:
            objects = (
                {} if seen.error else {plain(k): _seen(one) for k, one in seen.objects.items()}
            )
        except (TypeError, ValueError, RecursionError) as error:
            seen = Observation(seen.scope, error=f"a state that is no JSON: {error}")
        self._tell(seen.scope, seen.error)
        if seen.error:
            return
        before = look.scopes.get(seen.scope) or self._scopes.get(seen.scope)
        since = self._since(seen.scope, before)
        events: list[bytes] = []
        known = dict(before.objects) if before is not None else {}
        if before is not None:
            told = dict[str, str]()
            for one in seen.passed:
                new = None if one.snapshot is None else _seen(one.snapshot)
                events += self._event(one.name, known, new, told.get(one.name, since), one.time)
                told[one.name] = one.time
        for name in sorted(known.keys() | objects.keys()):
            events += self._event(name, known, objects.get(name), since, now)
        look.events += events
        look.looked[seen.scope] = began
        if events or before is None:
            look.scopes[seen.scope] = Scope(began, known)

    def _event(
        self, name: str, known: dict[str, Seen], new: Seen | None, since: str, now: str
    ) -> Iterator[bytes]:
        """Yields the event of an object that is not as it is known, and makes it known."""
        old = known.pop(name, None)
        if new is not None:
            known[name] = new
        if old is not None and new is not None and old.version == new.version:
            return
        before, after = old.snapshot if old else None, new.snapshot if new else None
        event = change(name, before, after, time=now, since=since)
        if event is not None:
            yield _bounded(attested(event, self._signer) if self._signer else event)

    def _since(self, scope: str, before: Scope | None) -> str:
        """When the last good look at a scope began; empty where there was none."""
        if before is None:
            return ""
        looked = self._looked.get(scope)
        return max(before.time, looked) if isinstance(looked, str) else before.time

    def _keep(self, look: _Look) -> None:
        """Puts what a round found; what is known changes together with its events."""
        self._looked |= look.looked
        if look.scopes:
            scopes = {**self._scopes, **look.scopes}
            digest = self._known.prepare(scopes)
            self._put(SOURCE, look.events, digest)
            self._known.adopt()
            self._digest, self._scopes = digest, scopes
        due = self._clock.monotonic() >= self._due
        moving = look.counters != self._counted
        if look.counters and (due or moving or self._moving):
            # Once more when they stand still: a look at rest is the one that counts exactly.
            self._put(COUNTERS, [_counters(self._watcher.name, look)])
            self._counted, self._moving = look.counters, moving
        elif due:
            self._put(COUNTERS, [])
        if due:
            self._due = self._clock.monotonic() + REPEAT_SECONDS

    def _tell(self, scope: str, error: str) -> None:
        """Says once that a scope cannot be seen, and once that it can be seen again."""
        if bool(error) == (scope in self._failing):
            return
        if error:
            self._failing[scope] = error
        else:
            del self._failing[scope]
        event = {
            "time": rfc3339(self._clock.now()),
            "actor": "muniment",
            "action": "capture.unseen" if error else "capture.seen_again",
            "resource": f"{self._watcher.name}/{scope}" if scope else self._watcher.name,
            "outcome": "failure" if error else "success",
            "detail": plain(error[:1_000]),
        }
        self._put("muniment", [orjson.dumps(event)])

    def _put(self, source: str, records: list[bytes], known: str = "") -> None:
        position: dict[str, Json] = {"known": known or self._digest, "looked": dict(self._looked)}
        self._outlet.put(self._watcher.name, source, records, position=position)


def _seen(snapshot: Snapshot) -> Seen:
    """What is kept of a snapshot. Raises TypeError and ValueError where its state is no JSON."""
    size = len(canonical(snapshot.state))
    snapshot = replace(snapshot, names=[plain(name) for name in snapshot.names])
    if size <= MAX_STATE:
        return Seen.of(snapshot)
    return Seen.of(
        Snapshot(
            {"bytes": size, "sha256": snapshot.version},
            names=snapshot.names,
            by=snapshot.by,
            where=snapshot.where,
        )
    )


def _bounded(event: dict[str, Json]) -> bytes:
    """The record of an event; without its fields where old and new together are too long."""
    made = record(event)
    return made if len(made) <= MAX_RECORD else record({**event, "fields": []})


def _counters(instance: str, look: _Look) -> bytes:
    counters = [
        {key: value for key in Counter.__slots__ if (value := getattr(one, key)) is not None}
        for one in look.counters
    ]
    return orjson.dumps({"instance": instance, "time": look.counted, "counters": counters})
