"""Bringing a retention to a store: the record of it, and longer locks for what is there already."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from muniment.clock import Clock
from muniment.errors import NoSuchObject
from muniment.store.archive.port import Destination
from muniment.store.bounded import get_at_most
from muniment.store.names import log_prefix, policy_key, policy_prefix
from muniment.store.port import Lock, Mode, Object
from muniment.store.retention.policy import MAX_POLICIES, Policy, lock_of
from muniment.store.retention.record import Record

MAX_POLICY = 64 << 10
"""Bytes of a recorded policy."""

NOTE_EVERY = 500
"""Objects of a pass after which its place is noted."""


def recorded_in(destination: Destination, log: str) -> list[Policy]:
    """Returns the policies that a store has recorded for a log. Raises StoreFailing, Corrupt."""
    found: list[Policy] = []
    store = destination.store
    for one in store.list(policy_prefix(log)):
        if len(found) >= MAX_POLICIES:
            break
        found.append(Policy.decode(get_at_most(store, one.key, MAX_POLICY), one.key, log))
    return found


def put_policies(record: Record, destination: Destination, clock: Clock) -> Policy | None:
    """Puts the policies that a store does not have yet.

    Returns one that the store has and that is longer than what holds here, if there is any. It is
    not taken over: policies are not signed, and who can put one object could lock all of them in
    every store. Raises StoreFailing, and Corrupt where one of the store's cannot be read.
    """
    store, log = destination.store, record.log
    there = {policy.number: policy for policy in recorded_in(destination, log)}
    current = record.current
    if there and current and not any(_same(policy, current) for policy in there.values()):
        record.renumber(max(there), clock)
    for policy in record.policies:
        if policy.number not in there:
            data, key = policy.encode(), policy_key(log, policy.number)
            lock = lock_of(policy, clock.now(), destination.mode)
            store.put_if_absent(key, data, sha256=sha256(data).digest(), lock=lock)
    return next((p for p in there.values() if current is None or not current.covers(p)), None)


def _same(one: Policy, other: Policy) -> bool:
    return (one.minimum, one.maximum) == (other.minimum, other.maximum)


def extend(record: Record, destination: Destination, clock: Clock) -> int:
    """Locks what a store has of a log for as long as the policy says now; returns how many objects.

    A pass that was interrupted goes on where it was. An object counts as sealed when the store
    took it, so that it is locked a little longer than asked rather than shorter. Raises
    StoreFailing, StoreLocked.
    """
    policy, store = record.current, destination.store
    if policy is None or record.spread_to(store.name) >= policy.number:
        return 0
    extended = 0
    if policy.minimum is not None and destination.mode is not Mode.OFF:
        after = record.resume_at(store.name, policy.number)
        for number, one in enumerate(_evidence(destination, record.log), 1):
            if one.key > after:
                extended += _extend(destination, policy, one, clock)
                if number % NOTE_EVERY == 0:
                    record.note_pass(store.name, policy.number, one.key)
    record.note_spread(store.name, policy.number)
    return extended


def _evidence(destination: Destination, log: str) -> Iterator[Object]:
    """The oldest version of each key of a log, by key."""
    last: Object | None = None
    for one in destination.store.write_once.versions(log_prefix(log)):
        if last is not None and one.key != last.key:
            yield last
            last = None
        if not one.marker:
            last = one
    if last is not None:
        yield last


def _extend(destination: Destination, policy: Policy, one: Object, clock: Clock) -> bool:
    """Extends one object's lock where that is shorter; says whether it was."""
    write_once = destination.store.write_once
    try:
        now = write_once.state(one.key, version=one.version).lock
        mode = Mode.COMPLIANCE if now and now.mode is Mode.COMPLIANCE else destination.mode
        wanted = lock_of(policy, one.modified, mode) if one.modified else None
        least = max(clock.now(), now.until) if now is not None else clock.now()
        if wanted is None or wanted.until <= least:
            return False
        write_once.extend(one.key, Lock(mode, wanted.until), version=one.version)
    except NoSuchObject:
        return False  # it has expired meanwhile
    return True
