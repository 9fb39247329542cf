"""What an archive is told of the node that it works for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from muniment.store.port import Lock, Mode, Store

Record = dict[str, object]
"""A record of Muniment's own, in the native form; see `watch.commit`."""

LockFor = Callable[[str, datetime, Mode], Lock | None]
"""Told a log, when something of it was sealed and how the store locks: the lock that it needs."""

Held = Callable[[str, str, int, int], bool]
"""Told a log, a shard, a first index and the index after the last: whether a hold is on them."""

Minimum = Callable[[str, str], int]
"""Told a log and a shard: all entries below this index have expired."""

Confirmed = Callable[[str, str, int], None]
"""Told a log, a shard and a size: the primary store has all entries below that, read back."""

Tell = Callable[[str, Record], None]
"""Puts a record into a log, some time soon; returns at once, on any thread."""


def no_lock(log: str, since: datetime, mode: Mode) -> Lock | None:  # noqa: ARG001
    """Of a node without retention."""
    return None


def not_held(log: str, shard: str, first: int, size: int) -> bool:  # noqa: ARG001
    """Of a node without holds."""
    return False


def nothing_expired(log: str, shard: str) -> int:  # noqa: ARG001
    """Of a node that keeps everything."""
    return 0


def nobody(*_: object) -> None:
    """Is told, and does nothing."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A store to carry to, and how objects are locked there."""

    store: Store
    mode: Mode = Mode.OFF


@dataclass(frozen=True, slots=True)
class Rules:
    """The node's side of an archive: what is locked, held, expired, and who is told."""

    lock_for: LockFor = no_lock
    held: Held = not_held
    minimum: Minimum = nothing_expired
    confirmed: Confirmed = nobody
    tell: Tell = nobody


@dataclass(frozen=True, slots=True)
class Cache:
    """How much of what is sealed stays on the local disk: bytes over all shards, and age.

    Neither set: all of it.
    """

    size: int | None = None
    age: timedelta | None = None
