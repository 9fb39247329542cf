"""What came after the first version of the objects in a store, and how well they are locked."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice

from muniment.clock import rfc3339
from muniment.errors import MunimentError, NoSuchObject
from muniment.log.report import Finding
from muniment.store.archive.confirmed import Confirmed
from muniment.store.insist import Insist
from muniment.store.inventory import Held, Inventory
from muniment.store.names import CHECKS, LOGS, Kind, log_prefix, parse
from muniment.store.port import Mode, Object, Store

AT_ONCE = 8
PIECE = 8 << 20
COMPARED = 8
"""Later versions of one key that are compared with the first; more of them are counted."""

STRANGERS = 100
"""Objects of no log that are named one by one."""

LOCKED = (Kind.VERIFIER, Kind.SEGMENT, Kind.TREE, Kind.ATTACHMENT)

_STRENGTH = {Mode.OFF: 0, Mode.GOVERNANCE: 1, Mode.COMPLIANCE: 2}


@dataclass(frozen=True, slots=True)
class Promise:
    """How the settings say that the objects of a log are locked: how hard, and how long at least.

    `minimum` is counted from the sealing of a segment; None where the settings do not say.
    """

    mode: Mode
    minimum: timedelta | None = None


def find_strangers(inventory: Inventory) -> Iterator[Finding]:
    """Finds objects that belong to no log; those of `worm check` are known."""
    strangers = [
        held.key
        for held in inventory
        if held.first is not None and not held.key.startswith(CHECKS) and parse(held.key) is None
    ]
    for key in strangers[:STRANGERS]:
        yield Finding(key, "belongs to no log")
    if len(strangers) > STRANGERS:
        problem = f"and {len(strangers) - STRANGERS:,} more objects belong to no log"
        yield Finding(strangers[STRANGERS], problem)


def find_overwritten(store: Store, inventory: Inventory, insist: Insist) -> Iterator[Finding]:
    """Finds versions that were put over the first one, and says whether their bytes differ."""
    for held in inventory:
        first = held.first
        if first is None or not held.later or held.key.startswith(CHECKS):
            continue
        digest = _digest(store, first, insist)
        same = 0
        for one in islice(reversed(held.later), COMPARED):
            if one.size == first.size and _digest(store, one, insist) == digest:
                same += 1
                continue
            yield Finding(
                held.key,
                f"overwritten at {_time(one)} with other bytes (version {one.version}): the first "
                f"version, {first.version} of {_time(first)}, is the one that was read here",
            )
        if len(held.later) > COMPARED:
            problem = f"has {len(held.later):,} later versions, {COMPARED} of them were compared"
            yield Finding(held.key, problem)


def same_again(inventory: Inventory) -> int:
    """Returns how many objects have later versions: a put whose answer was lost leaves one."""
    return sum(1 for held in inventory if held.later and not held.key.startswith(CHECKS))


def find_hidden(
    store: Store, inventory: Inventory, insist: Insist, notes: list[str], *, repair: bool
) -> Iterator[Finding]:
    """Finds delete markers; with `repair` those over a version are removed, and noted."""
    for held in inventory:
        if not held.markers or held.key.startswith(CHECKS):
            continue
        newest = held.markers[0]
        if held.first is None:
            yield Finding(held.key, f"removed at {_time(newest)}: only a delete marker is left")
        elif repair and held.hidden:
            yield from _undo(store, held, insist, notes)
        elif held.hidden:
            yield Finding(
                held.key,
                f"hidden at {_time(newest)} by a delete marker; the version before it is there "
                "(`muniment verify --repair` removes the marker)",
            )
        else:
            notes.append(f"{held.key}: was hidden at {_time(newest)}, and is visible again")


def _undo(store: Store, held: Held, insist: Insist, notes: list[str]) -> Iterator[Finding]:
    for marker in held.markers:
        try:
            insist(lambda one=marker: store.write_once.remove_version(held.key, one.version))  # type: ignore[misc]
        except NoSuchObject:
            continue
        except MunimentError as error:
            problem = f"hidden at {_time(marker)}; the marker cannot be removed: {error.detail}"
            yield Finding(held.key, problem)
            return
    if insist(lambda: store.head(held.key)) is None:
        yield Finding(held.key, "its delete marker was removed, and it is hidden all the same")
        return
    notes.append(
        f"{held.key}: hidden at {_time(held.markers[0])} by a delete marker, which was removed"
    )


def find_gone(
    store: Store, inventory: Inventory, confirmed: Confirmed | None, log: str, insist: Insist
) -> Iterator[Finding]:
    """Finds objects that a node has read back from this store once, and that have gone since."""
    if confirmed is None:
        return
    wanted = log_prefix(log) if log else LOGS
    sizes = {key: size for key, size in confirmed.sizes().items() if key.startswith(wanted)}
    gone = confirmed.without_expired([k for k in sorted(sizes) if inventory.first(k) is None])
    for key in gone[:STRANGERS]:
        if insist(lambda: store.head(key)) is None:  # noqa: B023 - else it came after the listing
            yield Finding(
                key, f"is missing: this node read its {sizes[key]:,} bytes back from here"
            )
    if len(gone) > STRANGERS:
        problem = f"and {len(gone) - STRANGERS:,} more that were read back from here are missing"
        yield Finding(gone[STRANGERS], problem)


def find_unlocked(
    store: Store,
    inventory: Inventory,
    insist: Insist,
    promises: dict[str, Promise],
    now: datetime | None = None,
) -> Iterator[Finding]:
    """Finds first versions that are locked less than promised; `promises` by log.

    An object whose time is over by `now` needs no lock: one that came late never had any.
    """
    chosen: list[tuple[Object, Promise]] = []
    for held in inventory:
        name = parse(held.key)
        if name is None or name.kind not in LOCKED or held.first is None:
            continue
        promise = promises.get(name.log)
        if promise is None or promise.mode is Mode.OFF:
            continue
        least = _least(held.first, promise)
        if now is None or least is None or least > now:
            chosen.append((held.first, promise))
    with ThreadPoolExecutor(AT_ONCE, "locks") as pool:
        for start in range(0, len(chosen), 64):
            part = chosen[start : start + 64]
            found = pool.map(lambda one: _weakness(store, one[0], one[1], insist), part)
            for (one, _), problem in zip(part, found, strict=True):
                if problem:
                    yield Finding(one.key, problem)


def _weakness(store: Store, one: Object, promise: Promise, insist: Insist) -> str:
    try:
        state = insist(lambda: store.write_once.state(one.key, version=one.version))
    except NoSuchObject:
        return "has gone since it was listed"
    lock = state.lock
    if lock is None:
        return "" if promise.minimum is None or state.hold else "is not locked at all"
    if _STRENGTH[lock.mode] < _STRENGTH[promise.mode]:
        return f"is locked in mode {lock.mode}, the settings promise {promise.mode}"
    least = _least(one, promise)
    if least is not None and lock.until < least and not state.hold:
        return (
            f"is locked until {rfc3339(lock.until)} only: put here at {_time(one)}, it is to be "
            f"kept for {promise.minimum}"
        )
    return ""


def _least(one: Object, promise: Promise) -> datetime | None:
    """The earliest end of a lock that keeps the promise, as far as the store can tell.

    Retention begins when a segment is sealed, which the store does not know: up to half of the
    minimum, 30 days at most, may have gone by before the segment was put here.
    """
    if promise.minimum is None or one.modified is None:
        return None
    return one.modified + promise.minimum - min(promise.minimum / 2, timedelta(days=30))


def _digest(store: Store, one: Object, insist: Insist) -> bytes:
    digest, offset = sha256(), 0
    while offset < one.size:
        piece = insist(
            lambda at=offset: store.get_range(one.key, at, PIECE, version=one.version)  # type: ignore[misc]
        )
        if not piece:
            break
        digest.update(piece)
        offset += len(piece)
    return digest.digest()


def _time(one: Object) -> str:
    return "an unknown time" if one.modified is None else rfc3339(one.modified)
