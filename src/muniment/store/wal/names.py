"""Which shard a chain is of, and the keys of its write-ahead objects.

A key is `wal/<log>/<shard>/<term, 10 digits>/<slot, 20 digits>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MAX_SLOT = (1 << 62) - 1
"""Far above any writer's: a key with more is somebody else's, and fits into no header."""

_TERM_DIGITS, _SLOT_DIGITS = 10, 20


@dataclass(frozen=True, slots=True)
class ShardName:
    """Which shard a chain is of: the origin of its log's keys, its log, its name."""

    origin: str
    log: str
    shard: str


class Place(NamedTuple):
    """Where an object stands in a shard's chain."""

    term: int
    slot: int


def prefix(of: ShardName) -> str:
    """Returns what the keys of all write-ahead objects of a shard begin with."""
    return f"wal/{of.log}/{of.shard}/"


def key(of: ShardName, place: Place) -> str:
    """Returns the key of an object."""
    return f"{prefix(of)}{place.term:0{_TERM_DIGITS}d}/{place.slot:0{_SLOT_DIGITS}d}"


def place_of(of: ShardName, name: str) -> Place | None:
    """Returns the place that a key names, or None where it is no write-ahead object's."""
    term, slash, slot = name.removeprefix(prefix(of)).partition("/")
    if not slash or len(term) != _TERM_DIGITS or len(slot) != _SLOT_DIGITS:
        return None
    if not (f"{term}{slot}".isascii() and f"{term}{slot}".isdigit()):
        return None
    place = Place(int(term), int(slot))
    return place if place.slot <= MAX_SLOT else None


def private_key(of: ShardName) -> str:
    """Returns the key of the object that holds a shard's private key, encrypted."""
    return f"keys/{of.log}/{of.shard}"
