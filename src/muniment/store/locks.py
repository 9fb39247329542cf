"""What every kind of store asks of a lock before it asks the provider."""

from __future__ import annotations

from datetime import datetime

from muniment.errors import StoreFailing, StoreLocked
from muniment.store.port import Lock, Mode, ObjectState


def asked(what: str, lock: Lock | None, now: datetime) -> Lock | None:
    """Returns the lock of a put, None for Mode.OFF. StoreFailing for one that is over already."""
    if lock is None or lock.mode is Mode.OFF:
        return None
    if lock.until <= now:
        raise StoreFailing(f"{what}: a lock until {lock.until:%Y-%m-%d %H:%M:%S}Z is in the past")
    return lock


def refuse_weaker(what: str, old: Lock | None, new: Lock, now: datetime) -> None:
    """Raises StoreLocked where `new` would shorten or soften a lock that lasts."""
    if old is None or old.until <= now:
        return
    softer = old.mode is Mode.COMPLIANCE and new.mode is not Mode.COMPLIANCE
    if softer or new.mode is Mode.OFF or new.until < old.until:
        raise StoreLocked(f"{what} is locked until {old.until:%Y-%m-%d %H:%M:%S}Z ({old.mode})")


def refuse_kept(what: str, state: ObjectState, now: datetime, *, bypass: bool = False) -> None:
    """Raises StoreLocked where an object must stay; `bypass` passes governance, never a hold."""
    if state.hold:
        raise StoreLocked(f"{what} is on hold")
    lock = state.lock
    if lock is None or lock.until <= now or (bypass and lock.mode is Mode.GOVERNANCE):
        return
    raise StoreLocked(f"{what} is locked until {lock.until:%Y-%m-%d %H:%M:%S}Z ({lock.mode})")
