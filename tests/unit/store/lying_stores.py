"""Stores that break one promise each, as careless or captured ones do."""

from __future__ import annotations

from collections.abc import Iterator

from simulated_bucket import Version
from simulator import SimulatedStore

from muniment.clock import Clock
from muniment.errors import StoreFailing
from muniment.store.port import Body, BucketState, Lock, Mode, Object, ObjectState


class Honest(SimulatedStore):
    """A store that keeps its word, as S3 with Object Lock does."""

    def __init__(self, clock: Clock, **kind: bool) -> None:
        super().__init__("primary", **{"versioned": True, "lockable": True} | kind, clock=clock)

    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        if lock is not None and lock.until <= self.backing.clock.now():
            raise StoreFailing(f"{key}: the retention is over already", reason="refused")
        return super().put(key, body, sha256=sha256, lock=lock)

    def first(self, key: str) -> Version:
        return self.backing.keys[key][0]


class OverwritesInPlace(Honest):
    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        if self.backing.keys.get(key) and isinstance(body, bytes):
            self.first(key).body = body
            return self.first(key).name
        return super().put(key, body, sha256=sha256, lock=lock)


class DeletesKeys(Honest):
    def remove(self, key: str) -> None:
        self.backing.keys.pop(key, None)


class DeletesVersions(Honest):
    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        found = self.backing.find(key, version)
        if found.lock is not None and not found.hold and not bypass:
            self.backing.keys[key].remove(found)
        else:
            super().remove_version(key, version, bypass=bypass)


class LetsCompliancePass(Honest):
    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        found = self.backing.find(key, version)
        if found.lock is not None and not found.hold and bypass:
            self.backing.keys[key].remove(found)
        else:
            super().remove_version(key, version, bypass=bypass)


class Extends(Honest):
    """One whose locks change as `changes` says."""

    def changes(self, now: Lock, asked: Lock) -> bool:
        raise NotImplementedError

    def extend(self, key: str, lock: Lock, *, version: str = "") -> None:
        found = self.backing.find(key, version)
        if found.lock is not None and self.changes(found.lock, lock):
            found.lock = None if lock.mode is Mode.OFF else lock
        else:
            super().extend(key, lock, version=version)


class Shortens(Extends):
    def changes(self, now: Lock, asked: Lock) -> bool:
        return asked.mode is now.mode and asked.until < now.until


class Softens(Extends):
    def changes(self, now: Lock, asked: Lock) -> bool:
        return now.mode is Mode.COMPLIANCE and asked.mode is Mode.GOVERNANCE


class Unlocks(Extends):
    def changes(self, now: Lock, asked: Lock) -> bool:
        return asked.mode is Mode.OFF


class IgnoresHolds(Honest):
    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        self.backing.find(key, version).hold = False
        super().remove_version(key, version, bypass=bypass)


class ForgetsHolds(Honest):
    def hold(self, key: str, on: bool, *, version: str = "") -> None:
        pass


class IgnoresChecksums(Honest):
    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        return super().put(key, body, lock=lock)


class TakesPastRetentions(Honest):
    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        over = lock is not None and lock.until <= self.backing.clock.now()
        return super().put(key, body, sha256=sha256, lock=None if over else lock)


class ForgetsLocks(Honest):
    def state(self, key: str, *, version: str = "") -> ObjectState:
        found = super().state(key, version=version)
        return ObjectState(found.key, found.version, None, found.hold)


class LocksForLess(Honest):
    """It cuts a lock when it is put: the bytes are safe now, and not for as long as asked."""

    def state(self, key: str, *, version: str = "") -> ObjectState:
        found = super().state(key, version=version)
        if found.lock is None or not key.endswith("-lock"):
            return found
        less = Lock(found.lock.mode, self.backing.clock.now())
        return ObjectState(found.key, found.version, less, found.hold)


class ReplacesWhatMustBeAbsent(Honest):
    def put_if_absent(
        self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None
    ) -> str | None:
        if self.backing.keys.get(key) and isinstance(body, bytes):
            self.first(key).body = body
            return self.first(key).name
        return super().put_if_absent(key, body, sha256=sha256, lock=lock)


class GivesOtherBytes(Honest):
    def get(self, key: str, *, version: str = "") -> bytes:
        return super().get(key, version=version)[::-1]


class Says(Honest):
    """One whose bucket says of itself what `said` makes of it."""

    def said(self, state: BucketState) -> BucketState:
        raise NotImplementedError

    def bucket(self) -> BucketState:
        return self.said(super().bucket())


class Suspended(Says):
    def said(self, state: BucketState) -> BucketState:
        return BucketState(False, state.lockable)


class WithoutLock(Says):
    def said(self, state: BucketState) -> BucketState:
        return BucketState(state.versioned, False)


class Expires(Says):
    def said(self, state: BucketState) -> BucketState:
        return BucketState(True, True, expires=["rule `old`: objects expire after 30 days"])


class Unversioned(Honest):
    """An honest store that keeps no versions, and refuses what would touch a locked object."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, versioned=False)

    def versions(self, prefix: str = "") -> Iterator[Object]:
        for one in super().versions(prefix):
            yield Object(one.key, one.size, "", one.modified)
