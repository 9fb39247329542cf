"""The real objects of logs in a store: locks as configured, nothing hidden, nothing overwritten.

All versions are listed; the lock is asked of a sample, or of every object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from random import Random

from muniment.errors import NoSuchObject, StoreLocked
from muniment.settings import Settings, StoreSettings
from muniment.store.archive.confirmed import Confirmed
from muniment.store.names import LOGS, Kind, Name, parse
from muniment.store.port import Lock, Mode, Object, ObjectState, Store
from muniment.store.worm.verdict import Probe, Report, Verdict

SAMPLE = 32
MAX_VERSIONS = 1_000
"""Versions of one key that are looked at; the oldest one is always among them."""

PIECE = 8 << 20
LATE = timedelta(days=7)
"""A segment may have been sealed so long before it could be carried to the store."""

_LOCKED = (Kind.SEGMENT, Kind.TREE, Kind.ATTACHMENT)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the settings want of the objects in a store.

    `minimums` are the logs' retentions (None: the bucket's own default). `held` says of a key
    whether a legal hold lies on it; None where that is not known here. `confirmed` is what a node
    has read back from the store: it must be there.
    """

    mode: Mode
    minimums: Mapping[str, timedelta | None]
    held: Callable[[str], bool] | None = None
    confirmed: Confirmed | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the objects of logs. `everything` asks for each lock, `repair` undoes markers."""

    store: Store
    expected: Expected
    now: datetime
    random: Random
    everything: bool = False
    repair: bool = False
    sample: int = SAMPLE

    def run(self, report: Report) -> None:
        """Adds what is found to the report. Raises StoreFailing where the store cannot be read."""
        confirmed = self.expected.confirmed
        awaited = confirmed.sizes() if confirmed is not None else {}
        sample: list[tuple[Name, Object]] = []
        locked = before = 0
        for key, versions in self._keys():
            name = parse(key)
            if name is None:
                continue
            report.objects += 1
            oldest = self._history(key, versions, report)
            if oldest is not None and oldest.size == awaited.get(key):
                del awaited[key]
            if oldest is None or name.kind not in _LOCKED:
                continue
            locked += 1
            if self.everything:
                before += self._lock(name, oldest, report)
            elif len(sample) < self.sample:
                sample.append((name, oldest))
            else:
                place = self.random.randrange(locked)
                if place < self.sample:
                    sample[place] = (name, oldest)
        for name, oldest in sample:
            before += self._lock(name, oldest, report)
        report.add(self._summary(report, locked, before))
        if confirmed is not None:
            for key in confirmed.without_expired(sorted(awaited)):
                what = f"its {awaited[key]:,} bytes were read back from here, and are not here now"
                report.add(_found("confirmed", key, "be there", what, Verdict.BROKEN))

    def _summary(self, report: Report, locked: int, good: int) -> Probe:
        tried = f"look at the locks of {report.looked_at:,} of {locked:,} segments and attachments"
        must = "be as configured"
        if self.expected.mode is Mode.OFF:
            said = "this store is configured with lock = off"
            return Probe("locks", tried, must, said, Verdict.NOT_SHOWN)
        if not report.looked_at:
            return Probe("locks", tried, must, "there are none yet", Verdict.NOT_SHOWN)
        bad = report.looked_at - good
        verdict = Verdict.BROKEN if bad else Verdict.KEPT
        return Probe("locks", tried, must, f"{good:,} are, {bad:,} are not", verdict)

    def _keys(self) -> Iterator[tuple[str, list[Object]]]:
        """Yields keys with their versions, newest first; of too many, the oldest."""
        found = self.store.write_once.versions(LOGS)
        for key, group in groupby(found, key=lambda one: one.key):
            versions: list[Object] = []
            for one in group:
                versions.append(one)
                if len(versions) > MAX_VERSIONS:
                    del versions[MAX_VERSIONS // 2]
            yield key, versions

    def _history(self, key: str, versions: list[Object], report: Report) -> Object | None:
        """Looks at markers and later versions of a key; returns its oldest version."""
        there = [one for one in versions if not one.marker]
        for marker in (one for one in versions if one.marker):
            undone = self._undo(marker, report) if self.repair else ""
            what = "a delete marker hides it" if there else "a delete marker, and nothing under it"
            verdict = Verdict.BROKEN if there else Verdict.NOT_SHOWN
            report.add(_found("hidden", key, "not be hidden", f"{what}{undone}", verdict))
        if not there:
            return None
        oldest = there[-1]
        for later in there[:-1]:
            if self._same(oldest, later):
                continue
            undone = self._undo(later, report) if self.repair else ""
            what = f"a later version has other bytes{undone}"
            report.add(_found("overwritten", key, "have one version", what, Verdict.BROKEN))
        return oldest

    def _undo(self, one: Object, report: Report) -> str:
        try:
            self.store.write_once.remove_version(one.key, one.version)
        except NoSuchObject:
            return " (gone meanwhile)"
        except StoreLocked:
            return " (it is locked itself: it stays until that ends)"
        report.repaired += 1
        return " (undone)"

    def _same(self, one: Object, other: Object) -> bool:
        return one.size == other.size and self._digest(one) == self._digest(other)

    def _digest(self, one: Object) -> bytes:
        hashed, offset = hashlib.sha256(), 0
        while offset < one.size:
            length = min(PIECE, one.size - offset)
            piece = self.store.get_range(one.key, offset, length, version=one.version)
            if not piece:
                break
            hashed.update(piece)
            offset += len(piece)
        return hashed.digest()

    def _lock(self, name: Name, one: Object, report: Report) -> bool:
        """Compares the lock of an object with the settings; says whether it is as configured."""
        report.looked_at += 1
        if self.expected.mode is Mode.OFF:
            return True
        try:
            state = self.store.write_once.state(one.key, version=one.version)
        except NoSuchObject:
            report.add(_found("lock-of", one.key, "be there", "it is gone", Verdict.BROKEN))
            return False
        problem, must = self._problem(name, one, state)
        if problem:
            report.add(_found("lock-of", one.key, must, problem, Verdict.BROKEN))
        return not problem

    def _problem(self, name: Name, one: Object, state: ObjectState) -> tuple[str, str]:
        """What is wrong with a lock, and what it must be."""
        expected = self.expected
        if expected.held is not None and expected.held(one.key) and not state.hold:
            return "there is no hold on it", "be on legal hold"
        minimum = expected.minimums.get(name.log)
        if minimum is None:
            live = _live(state.lock, self.now) or name.log not in expected.minimums
            return ("" if live else "it is not locked"), "be locked by the bucket's default"
        if one.modified is None:
            return "", ""
        until = one.modified + minimum - min(LATE, minimum / 2)
        must = f"be {expected.mode.value} until {until:%Y-%m-%d} or later"
        if until <= self.now:
            return "", must  # its time is over, or nearly
        lock = state.lock
        if lock is None or not _live(lock, self.now):
            return "it is not locked", must
        if expected.mode is Mode.COMPLIANCE and lock.mode is not Mode.COMPLIANCE:
            return f"it is {lock.mode.value}", must
        if lock.until < until:
            return f"it is locked until {lock.until:%Y-%m-%dT%H:%M:%SZ} only", must
        return "", must


def _live(lock: Lock | None, now: datetime) -> bool:
    return lock is not None and lock.mode is not Mode.OFF and lock.until > now


def _found(name: str, key: str, must: str, happened: str, verdict: Verdict) -> Probe:
    return Probe(name, f"look at {key}", must, happened, verdict, key)


def expected_of(settings: Settings, store: StoreSettings) -> Expected:
    """Returns what a node's settings want of one of its stores."""
    minimums = {
        log: settings.retention[log].minimum if log in settings.retention else None
        for log in settings.logs
    }
    confirmed = Confirmed(settings.data, store.name)
    return Expected(Mode(store.lock.value), minimums, confirmed=confirmed)
