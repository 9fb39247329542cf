"""The workbench of a check: objects of its own, locked for a moment, and cleaned up again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from muniment.clock import Clock
from muniment.errors import MunimentError, NoSuchObject, StoreFailing, StoreLocked
from muniment.store.names import CHECKS
from muniment.store.port import Lock, Mode, Object, Store

LOCK = timedelta(seconds=60)
"""So long an object of a check is locked: longer than its own few requests take."""

BRIEF = timedelta(seconds=2)
"""So long a lock lasts whose end is waited for."""

MOMENT = 1.5
"""Seconds that the clocks of a store and of this machine may be apart."""

SHOWN = "deleted"
"""The version of a marker that stands for none in the store: it goes with the versions under it."""

Sleep = Callable[[float], None]
_OWN = re.compile(r"check/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}-[a-z-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tried:
    """An object of a check: its first version, its bytes and its lock."""

    key: str
    version: str
    body: bytes
    lock: Lock | None


class Bench:
    """Makes objects below `check/<time>-<random>-`, and removes what is not locked any more."""

    def __init__(
        self,
        store: Store,
        mode: Mode,
        clock: Clock,
        random: bytes,
        *,
        length: timedelta = LOCK,
        sleep: Sleep = time.sleep,
    ) -> None:
        self.store, self.mode, self.clock, self.length = store, mode, clock, length
        self._sleep = sleep
        self._prefix = f"{CHECKS}{clock.now():%Y%m%dT%H%M%SZ}-{random.hex()[:8]}-"

    def key(self, name: str) -> str:
        """The key of an object of this check."""
        return self._prefix + name

    def lock(self, mode: Mode | None = None) -> Lock | None:
        """A lock of the shortest length in the configured mode; None where that is `off`."""
        chosen = self.mode if mode is None else mode
        return None if chosen is Mode.OFF else Lock(chosen, self.until(self.length))

    def until(self, length: timedelta) -> datetime:
        """The whole second after so long."""
        moment = self.clock.now() + length
        return moment.replace(microsecond=0) + timedelta(seconds=bool(moment.microsecond))

    def put(self, name: str, lock: Lock | None) -> Tried:
        """Puts an object of a few bytes with its checksum. Raises StoreFailing."""
        body = f"muniment worm check: {self.key(name)}\n".encode()
        key = self.key(name)
        version = self.store.put(key, body, sha256=sha256(body).digest(), lock=lock)
        return Tried(key, version, body, lock)

    def intact(self, tried: Tried) -> bool:
        """Whether the first version is there with its bytes."""
        try:
            return self.store.get(tried.key, version=tried.version) == tried.body
        except NoSuchObject:
            return False

    def over(self, tried: Tried) -> bool:
        """Whether the object's lock ended meanwhile, so that nothing can be shown on it."""
        return tried.lock is not None and self.clock.now() >= tried.lock.until

    def outwait(self, lock: Lock) -> None:
        """Waits until a lock is over, and a moment longer: the store's clock may be behind."""
        seconds = (lock.until - self.clock.now()).total_seconds() + MOMENT
        self._sleep(max(0.0, seconds))

    def clean(self) -> None:
        """Removes what this check made, as far as it is not locked. Raises StoreFailing."""
        for one in self._versions(self._prefix):
            self._remove(one, bypass=self.mode is Mode.GOVERNANCE)

    def leftovers(self) -> tuple[int, int]:
        """Removes what earlier checks left and is not locked; returns removed, still locked.

        Objects that are not of a check are left alone, and so is what is younger than a lock: it
        may belong to a check that another node makes now.
        """
        removed = kept = 0
        for one in self._versions(CHECKS):
            if not _OWN.fullmatch(one.key) or one.key.startswith(self._prefix):
                continue
            young = one.modified is not None and one.modified + self.length > self.clock.now()
            if not young and self._remove(one):
                removed += 1
            else:
                kept += 1
        return removed, kept

    def _versions(self, prefix: str) -> Iterator[Object]:
        """The versions below a prefix, read first: what is listed is removed while it is read."""
        page: list[Object] = []
        for one in self.store.write_once.versions(prefix):
            page.append(one)
            if len(page) >= 10_000:
                break
        yield from page

    def _remove(self, one: Object, *, bypass: bool = False) -> bool:
        policy = self.store.write_once
        if one.marker and one.version == SHOWN:
            return True
        if not one.marker:
            with suppress(StoreFailing):
                if policy.state(one.key, version=one.version).hold:
                    policy.hold(one.key, False, version=one.version)
        try:
            if one.version:
                policy.remove_version(one.key, one.version, bypass=bypass)
            else:
                self.store.remove(one.key)
        except NoSuchObject:
            return True
        except StoreLocked:
            return False
        except StoreFailing as error:
            if error.reason in ("refused", "credentials"):
                return False
            raise
        return True


def words(error: MunimentError) -> str:
    """An error in one line."""
    return " ".join(error.detail.split())[:300]
