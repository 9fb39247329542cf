"""What is read of a bucket: nothing here changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial

from muniment.store.port import BucketState, Mode
from muniment.store.worm.verdict import Probe, Verdict

READ_ONLY = "not tried: it would change the bucket"


def archive_bucket(
    state: BucketState,
    mode: Mode,
    minimums: Mapping[str, timedelta | None],
    *,
    versions: bool,
) -> Iterator[Probe]:
    """Yields what a bucket for sealed segments promises by itself.

    `minimums` are the logs' retentions; `versions` says that this kind of store locks versions.
    """
    locked = mode is not Mode.OFF
    yield _versioning(state, locked=locked, versions=versions)
    yield _object_lock(state, locked=locked)
    yield _default(state, mode, minimums)
    yield _lifecycle(state)
    if locked and versions:
        for name, tried in (
            ("suspend", "suspend versioning"),
            ("weaken", "take the bucket's object lock off"),
        ):
            yield Probe(name, tried, "be refused", READ_ONLY, Verdict.NOT_SHOWN)
    for note in state.notes:
        tried = "ask what this kind of store is"
        yield Probe("note", tried, "be known", note, Verdict.NOT_SHOWN, note[:100])


def wal_bucket(state: BucketState, fences: Callable[[], bool]) -> Iterator[Probe]:
    """Yields what a bucket for write-ahead objects must be: plain, and a fence."""
    off = _said(state.versioned, "on: what is removed stays", "off")
    yield Probe("wal-versioning", "read the wal store's versioning", "be off", *off)
    locks = state.default_mode is not Mode.OFF and state.default_days > 0
    said = f"{state.default_mode.value} for {state.default_days:,} days: nothing can be removed"
    none = _said(locks, said, "nothing is locked by default")
    yield Probe("wal-lock", "read the wal store's default retention", "be none", *none)
    yield _lifecycle(state, "wal-lifecycle")
    say = partial(Probe, "wal-fence", "put if absent, one after the other and at once", "win once")
    if locks:
        yield say("not tried: what is tried could not be removed", Verdict.NOT_SHOWN)
    else:
        yield say(*_said(not fences(), "two writers won", "one writer won"))


def _said(bad: bool, what: str, else_what: str) -> tuple[str, Verdict]:
    return (what, Verdict.BROKEN) if bad else (else_what, Verdict.KEPT)


def _versioning(state: BucketState, *, locked: bool, versions: bool) -> Probe:
    say = partial(Probe, "versioning", "read the bucket's versioning", "be on")
    if state.versioned:
        return say("on", Verdict.KEPT)
    if locked and versions:
        return say("off or suspended: locks hold versions, and none are kept", Verdict.BROKEN)
    said = "this kind of store keeps no versions: an overwrite must be refused instead"
    return say(said, Verdict.NOT_SHOWN)


def _object_lock(state: BucketState, *, locked: bool) -> Probe:
    say = partial(Probe, "object-lock", "read whether objects can be locked", "be so")
    if state.lockable:
        return say("they can", Verdict.KEPT)
    if locked:
        return say("they cannot: lock is configured, but the bucket has none", Verdict.BROKEN)
    return say("they cannot, and lock = off says so", Verdict.NOT_SHOWN)


def _default(state: BucketState, mode: Mode, minimums: Mapping[str, timedelta | None]) -> Probe:
    say = partial(Probe, "default", "read the default retention", "lock logs without a minimum")
    without = sorted(log for log, minimum in minimums.items() if minimum is None)
    has = state.default_mode is not Mode.OFF and state.default_days > 0
    words = f"{state.default_mode.value} for {state.default_days:,} days" if has else "none"
    if mode is Mode.OFF:
        return say(f"{words}; lock = off", Verdict.NOT_SHOWN)
    if not without:
        said = f"{words}; each log has a minimum of its own"
        return say(said, Verdict.KEPT)
    if not has:
        said = f"none, and {', '.join(without[:5])} has no retention.minimum: nothing locks it"
        return say(said, Verdict.BROKEN)
    if mode is Mode.COMPLIANCE and state.default_mode is not Mode.COMPLIANCE:
        return say(f"{words}, softer than the configured mode", Verdict.BROKEN)
    return say(words, Verdict.KEPT)


def _lifecycle(state: BucketState, name: str = "lifecycle") -> Probe:
    rules = "; ".join(state.expires)[:500]
    said, verdict = _said(bool(rules), rules, "none does")
    return Probe(name, "read the lifecycle rules", "not delete or hide objects", said, verdict)
