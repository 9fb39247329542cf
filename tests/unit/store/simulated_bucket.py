"""A bucket in memory, shared by the simulated stores of several nodes: versions, markers, locks.

It does what S3 with Object Lock does: in a versioned bucket every put is another version, and a
plain delete a marker. In an unversioned one that locks, what is locked cannot be replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import RLock

from muniment.clock import Clock, SystemClock
from muniment.errors import NoSuchObject, StoreFailing
from muniment.store.locks import asked, refuse_kept, refuse_weaker
from muniment.store.port import Lock, Mode, Object, ObjectState


@dataclass(slots=True)
class Version:
    """One version of a key. `body` is None for a delete marker."""

    name: str
    body: bytes | None
    modified: datetime
    lock: Lock | None = None
    hold: bool = False


class SimulatedBucket:
    """All methods are atomic. `late` are requests that are still on their way.

    Without `fencing` the condition of `put_if_absent` is ignored; without `enforcing` locks are
    kept on paper, and refuse nothing.
    """

    def __init__(
        self,
        *,
        versioned: bool = False,
        lockable: bool = False,
        fencing: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.versioned, self.lockable, self.fencing = versioned, lockable, fencing
        self.enforcing = True
        self.default_mode, self.default_days = Mode.OFF, 0
        self.expires: list[str] = []
        self.clock: Clock = clock or SystemClock()
        self.keys: dict[str, list[Version]] = {}
        self.late: list[Callable[[], object]] = []
        self.mutex = RLock()
        self._count = 0

    def put(self, key: str, body: bytes, lock: Lock | None, *, absent: bool) -> str | None:
        """Puts a version; None where it must be absent and is not."""
        with self.mutex:
            if absent and self.fencing and self.latest(key) is not None:
                return None
            lock = asked(f"simulated: {key}", lock, self.clock.now())
            if lock is not None and not self.lockable:
                raise StoreFailing(f"simulated: {key}: the bucket has no object lock")
            if not self.versioned:
                for version in self.keys.get(key, ()):
                    self._free(key, version, bypass=False)
                self.keys[key] = []
            made = Version(self._name(), body, self.clock.now(), lock or self._default())
            self.keys.setdefault(key, []).append(made)
            return made.name

    def latest(self, key: str) -> Version | None:
        """The version that a plain `get` returns."""
        with self.mutex:
            found = self.keys.get(key)
            return found[-1] if found and found[-1].body is not None else None

    def find(self, key: str, name: str) -> Version:
        """A version by name, the latest one without. Raises NoSuchObject."""
        with self.mutex:
            named = [v for v in self.keys.get(key, ()) if v.name == name and v.body is not None]
            found = named[0] if name and named else None if name else self.latest(key)
            if found is None:
                raise NoSuchObject(f"simulated: there is no {key} {name}".rstrip())
            return found

    def extend(self, key: str, name: str, lock: Lock) -> None:
        with self.mutex:
            version = self.find(key, name)
            if not self.lockable:
                raise StoreFailing(f"simulated: {key}: the bucket has no object lock")
            if self.enforcing:
                refuse_weaker(f"simulated: {key}", version.lock, lock, self.clock.now())
            version.lock = lock if lock.mode is not Mode.OFF else None

    def remove(self, key: str) -> None:
        """Removes all versions for good, or none: StoreLocked where one of them is kept."""
        with self.mutex:
            for version in self.keys.get(key, ()):
                self._free(key, version, bypass=False)
            self.keys.pop(key, None)

    def remove_version(self, key: str, name: str, *, bypass: bool) -> None:
        with self.mutex:
            for version in list(self.keys.get(key, ())):
                if version.name == name:
                    self._free(key, version, bypass=bypass)
                    self.keys[key].remove(version)
            if not self.keys.get(key):
                self.keys.pop(key, None)

    def objects(self, key: str) -> list[Object]:
        """All versions of a key, newest first."""
        with self.mutex:
            versions = self.keys.get(key, [])
            return [
                Object(
                    key,
                    len(version.body or b""),
                    version.name,
                    version.modified,
                    latest=version is versions[-1],
                    marker=version.body is None,
                )
                for version in reversed(versions)
            ]

    def hide(self, key: str) -> str:
        """What an operator's plain DELETE does in a versioned bucket: a delete marker."""
        with self.mutex:
            marker = Version(self._name(), None, self.clock.now())
            self.keys.setdefault(key, []).append(marker)
            return marker.name

    def poke(self, key: str, body: bytes | None, *, version: str = "") -> None:
        """Changes what lies there behind everybody's back; None takes it away, locked or not."""
        with self.mutex:
            found = self.find(key, version)
            if body is None:
                self.keys[key].remove(found)
                if not self.keys[key]:
                    del self.keys[key]
            else:
                found.body = body

    def contents(self) -> dict[str, bytes]:
        """What plain gets would return, by key."""
        with self.mutex:
            latest = {key: self.latest(key) for key in sorted(self.keys)}
            return {
                key: v.body for key, v in latest.items() if v is not None and v.body is not None
            }

    def land(self, count: int | None = None) -> int:
        """Lets requests that are on their way arrive (all of them), in order; returns how many."""
        with self.mutex:
            due, self.late = self.late[:count], [] if count is None else self.late[count:]
            for request in due:
                request()
            return len(due)

    def _free(self, key: str, version: Version, *, bypass: bool) -> None:
        if self.enforcing:
            state = ObjectState(key, version.name, version.lock, version.hold)
            refuse_kept(f"simulated: {key}", state, self.clock.now(), bypass=bypass)

    def _default(self) -> Lock | None:
        if self.default_mode is Mode.OFF:
            return None
        return Lock(self.default_mode, self.clock.now() + timedelta(days=self.default_days))

    def _name(self) -> str:
        self._count += 1
        return f"v{self._count:08d}" if self.versioned else ""
