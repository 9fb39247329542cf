"""The write-once policy of a local directory: retention and holds in files beside the objects.

A lock's file is JSON: `{"mode": "compliance", "until": "2033-01-01T00:00:00Z", "hold": false}`, the
first two missing where there is only a hold. Muniment refuses what a lock forbids; while a lock
lasts, the object and the lock's file also carry the immutable attribute where that can be set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from muniment.clock import Clock
from muniment.errors import Corrupt, NoSuchObject, StoreLocked
from muniment.store.local_attribute import is_immutable, set_immutable
from muniment.store.local_files import LocalFiles, is_file, translating
from muniment.store.locks import refuse_kept, refuse_weaker
from muniment.store.port import BucketState, Lock, Mode, Object, ObjectState

LONGEST_LOCK = 4096
"""Bytes of a lock's file that are read."""

_NOTES = (
    "a directory has no lock of its own: retention and holds stand in files beside the objects, "
    "and Muniment keeps to them",
    "it keeps no versions: what is replaced is gone",
)
_IMMUTABLE = (
    "what is locked is immutable (chattr +i): only root can take that off, and root can do it "
    "at any time"
)
_WEAK = (
    "the immutable attribute cannot be set here (it takes CAP_LINUX_IMMUTABLE and ext4, XFS or "
    "Btrfs): whoever may write to the directory can remove what is locked"
)


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    mode: Mode | None = None
    until: datetime | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a lock's file says."""

    lock: Lock | None = None
    hold: bool = False

    def keeps(self, now: datetime) -> bool:
        """Whether the object must stay as it is."""
        return self.hold or (self.lock is not None and self.lock.until > now)


def parse_lock(file: str, data: bytes) -> Kept:
    """Returns what a lock's file says. Raises Corrupt; `file` is named in it."""
    try:
        read = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError) as error:
        raise Corrupt(file, 0, "the JSON of a lock", str(error)[:200]) from error
    if read.mode is None and read.until is None and read.hold:
        return Kept(None, hold=True)
    if read.mode is None or read.until is None:
        raise Corrupt(file, 0, "mode and until, or a hold", "less")
    if read.mode is Mode.OFF or read.until.tzinfo is None:
        raise Corrupt(file, 0, "a mode, and a time in UTC", f"{read.mode} {read.until}")
    try:
        return Kept(Lock(read.mode, read.until.astimezone(UTC)), read.hold)
    except OverflowError as error:
        raise Corrupt(file, 0, "a time in UTC", str(error)) from error


def encode_lock(kept: Kept) -> bytes:
    """Returns the bytes of a lock's file."""
    lock = kept.lock
    file = _File(lock.mode, lock.until.astimezone(UTC), kept.hold) if lock else _File(hold=True)
    return msgspec.json.encode(file) + b"\n"


class LocalPolicy:
    """The WriteOnce of a local directory. `listed` lists the objects below a prefix."""

    def __init__(
        self, files: LocalFiles, clock: Clock, listed: Callable[[str], Iterator[Object]]
    ) -> None:
        self._files, self._clock, self._listed = files, clock, listed

    def bucket(self) -> BucketState:
        with translating(str(self._files.root)):
            self._files.ready()
            lockable = self._files.can_lock()
        notes = (*_NOTES, _IMMUTABLE if lockable else _WEAK)
        return BucketState(versioned=False, lockable=lockable, notes=notes)

    def state(self, key: str, *, version: str = "") -> ObjectState:
        with translating(key):
            self._files.ready()
            kept = self.kept(self._existing(key, version))
        return ObjectState(key, "", kept.lock, kept.hold)

    def extend(self, key: str, lock: Lock, *, version: str = "") -> None:
        with translating(key, unknown=True), self._alone(key):
            self.strengthen(key, self._existing(key, version), lock)

    def hold(self, key: str, on: bool, *, version: str = "") -> None:
        with translating(key, unknown=True), self._alone(key):
            path = self._existing(key, version)
            self.keep(path, replace(self.kept(path), hold=on))

    def versions(self, prefix: str = "") -> Iterator[Object]:
        return self._listed(prefix)

    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        if not version:
            self.remove(key, bypass=bypass)

    def remove(self, key: str, *, bypass: bool = False) -> None:
        """Removes an object, with its lock's file. Raises StoreLocked, StoreFailing."""
        with translating(key, unknown=True), self._alone(key):
            path = self._files.path(key)
            if not is_file(path):
                return
            self.free(key, path, bypass=bypass)
            set_immutable(path, False)
            path.unlink()
            self._forget(path)
            self._files.sync_folder(path)

    def free(self, key: str, path: Path, *, bypass: bool = False) -> None:
        """Raises StoreLocked where an object must stay as it is. Only while `alone`."""
        if not is_file(path):
            return
        kept = self.kept(path)
        state = ObjectState(key, "", kept.lock, kept.hold)
        refuse_kept(key, state, self._clock.now(), bypass=bypass)
        if kept == Kept() and is_immutable(path):
            raise StoreLocked(f"{key} is immutable, but its lock's file is gone")

    def put_in_place(self, draft: Path, path: Path, lock: Lock | None) -> None:
        """Renames a draft over an object that is free, or to a new one. Only while `alone`."""
        if is_file(path):
            set_immutable(path, False)
        draft.rename(path)
        self._forget(path)
        self.keep(path, Kept(lock))
        self._files.sync_folder(path)

    def strengthen(self, key: str, path: Path, lock: Lock) -> None:
        """Locks an object. Raises StoreLocked where that would be weaker. Only while `alone`."""
        kept = self.kept(path)
        refuse_weaker(key, kept.lock, lock, self._clock.now())
        self.keep(path, replace(kept, lock=None if lock.mode is Mode.OFF else lock))

    def kept(self, path: Path) -> Kept:
        """What the lock's file of an object says. Raises Corrupt."""
        file = _beside(path)
        try:
            return parse_lock(str(file), self._files.read(file, 0, LONGEST_LOCK))
        except FileNotFoundError:
            return Kept()

    def keep(self, path: Path, kept: Kept) -> None:
        """Writes the lock's file of an object, and makes both immutable where they can be."""
        file = _beside(path)
        if kept == Kept():
            set_immutable(path, False)
            self._forget(path)
            self._files.sync_folder(path)
            return
        if file.exists():
            set_immutable(file, False)
        self._files.replace(file, encode_lock(kept))
        on = kept.keeps(self._clock.now())
        set_immutable(path, on)
        set_immutable(file, on)

    def _existing(self, key: str, version: str) -> Path:
        path = self._files.path(key)
        if version or not is_file(path):
            raise NoSuchObject(f"there is no {key}")
        return path

    def _forget(self, path: Path) -> None:
        file = _beside(path)
        if file.exists():
            set_immutable(file, False)
            file.unlink()

    def _alone(self, key: str) -> AbstractContextManager[None]:
        self._files.ready()
        return self._files.alone(key)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
