"""One object's way to a store: is it there, put it, read every byte back.

Nothing here repeats a call: who calls decides that. Whatever happened before (a crash, a lost
answer, another node that carried the same), the same call goes on from what the store has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from muniment.errors import Corrupt, NoSuchObject, StoreFailing
from muniment.store.archive.books import Thing
from muniment.store.inventory import first_version
from muniment.store.port import Body, Lock, Object, Store

PIECE = 4 << 20
"""Bytes that are read back at a time."""

Pause = Callable[[], None]
"""Called between the pieces of what takes long; raises where it is time to stop."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """An object to be carried."""

    key: str
    thing: Thing
    body: Body
    lock: Lock | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """An object that a store has and gave back. `locked` says that our put went with its lock.

    `modified` is the store's time of an object that was there before. `over` says what was put
    over it since, and is empty where nothing was.
    """

    version: str
    locked: bool
    modified: datetime | None = None
    over: str = ""


def carry(store: Store, parcel: Parcel, pause: Pause) -> Delivered:
    """Makes sure that a store has an object, byte for byte, and puts it where it has not.

    Where a store keeps versions, the oldest one counts. Raises Corrupt where other bytes stand
    under the key, which are never replaced, or where what is read back is not what was put;
    StoreFailing.
    """
    found = store.head(parcel.key)
    if found is None:
        digest = bytes.fromhex(parcel.thing.digest)
        version = store.put_if_absent(parcel.key, parcel.body, sha256=digest, lock=parcel.lock)
        if version is not None:
            first = first_version(store, parcel.key) if version else None
            if first is not None and first.version != version:  # put since we looked
                _read_found(store, parcel, first, pause)
                return Delivered(first.version, locked=False, modified=first.modified)
            read_back(store, parcel.key, version, parcel.thing, pause)
            return Delivered(version, locked=True)
        found = store.head(parcel.key)  # another one was first
        if found is None:
            raise StoreFailing(f"{store.name}: {parcel.key} is taken, yet not there", reason="busy")
    return _there(store, parcel, found, pause)


def _there(store: Store, parcel: Parcel, found: Object, pause: Pause) -> Delivered:
    """Reads an object back that was there before; where others hide it, its first version."""
    try:
        _read_found(store, parcel, found, pause)
    except Corrupt as error:
        first = first_version(store, parcel.key)
        if first is None or first.version == found.version:
            raise
        _read_found(store, parcel, first, pause)
        return Delivered(first.version, locked=False, modified=first.modified, over=error.detail)
    return Delivered(found.version, locked=False, modified=found.modified)


def _read_found(store: Store, parcel: Parcel, found: Object, pause: Pause) -> None:
    if found.size != parcel.thing.length:
        expected, there = f"{parcel.thing.length} bytes", f"{found.size} bytes"
        raise Corrupt(place(store, parcel.key), 0, expected, there)
    read_back(store, parcel.key, found.version, parcel.thing, pause)


def read_back(store: Store, key: str, version: str, thing: Thing, pause: Pause) -> None:
    """Raises Corrupt unless every byte that the store gives is the one that was meant."""
    hashed, offset = sha256(), 0
    while offset < thing.length:
        pause()
        length = min(PIECE, thing.length - offset)
        try:
            piece = store.get_range(key, offset, length, version=version)
        except NoSuchObject as error:
            raise Corrupt(place(store, key), offset, "the object", "none") from error
        if len(piece) != length:
            raise Corrupt(place(store, key), offset, f"{length} bytes", f"{len(piece)}")
        hashed.update(piece)
        offset += length
    if hashed.hexdigest() != thing.digest:
        expected, found = f"SHA-256 {thing.digest}", hashed.hexdigest()
        raise Corrupt(place(store, key), 0, expected, found)


def place(store: Store, key: str) -> str:
    """How errors name an object."""
    return f"{store.name}: {key}"
