"""Legal holds: what must stay although its retention has ended, until somebody releases it.

A hold covers a whole log, the entries about one tracked object, or what a query found. Placing and
releasing are entries of the log, with who did it; the register on disk only saves reading them
again, and is made anew from them where it is lost. It also remembers what is about to be put on
record, so that a crash does not lose it: a hold counts from then on, and until its release is on
record. Segments that hold the entry of a hold are held with it, so that this is possible for as
long as the hold stands.

A hold on a log covers what comes later too, one on an object what comes later about that object:
entries that were not looked at yet count as covered until they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Any

import msgspec
from msgspec.structs import replace

from muniment import kernel
from muniment.data_names import RETENTION
from muniment.errors import (
    Conflict,
    Corrupt,
    InputError,
    NotFound,
    StoreFailing,
    Unavailable,
)
from muniment.log.disk import Disk, write_file
from muniment.log.reader import ShardReader
from muniment.store.retention.acts import PLACED, RELEASED, SOURCE
from muniment.store.retention.hold import MAX_TEXT, Hold, hold_of
from muniment.store.retention.proved import Following
from muniment.store.retention.ranges import MAX_RANGES, Range, Ranges

MAX_HOLDS = 1_000
MAX_BYTES = 64 << 20
AT_ONCE = 200_000
"""Entries that are read before a node serves; with more, a lost register is made meanwhile."""

_MARK = b'"action":"hold.'


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    holds: list[Hold]


class Holds:
    """The holds of one log. For any thread."""

    def __init__(self, log: str, path: Path, disk: Disk) -> None:
        self.log = log
        self._path, self._disk = path, disk
        self._lock = RLock()
        self._file = _File(1, [])
        self._lost: Mapping[str, ShardReader] | None = None

    @classmethod
    def open(cls, data: Path, log: str, shards: Mapping[str, ShardReader], disk: Disk) -> Holds:
        """Reads the register, or makes it anew from the entries where it is lost or damaged.

        `shards` are readers of all shards of the log. Where they hold very many entries, `find`
        is left to the caller; so it is where a store that has them does not give them. Raises
        OSError.
        """
        holds = cls(log, data / RETENTION / f"{log}.holds.json", disk)
        known = holds._read()
        if known is not None:
            holds._file = known
            return holds
        holds._lost = shards
        if sum(one.size - one.minimum for one in shards.values()) <= AT_ONCE:
            with suppress(Corrupt, StoreFailing):  # the next round tries again, and says why
                holds.find()
        return holds

    def find(self) -> None:
        """Makes a lost register anew from the entries. Until that is done, everything is held.

        Reads all entries; for a thread that may take long. Raises Corrupt, OSError.
        """
        shards = self._lost
        if shards is None:
            return
        acts = [act for name, one in shards.items() for act in _acts(name, one)]
        found: list[Hold] = []
        for _, *act in sorted(acts, key=lambda act: act[0]):
            found = _after(found, *act)
        with self._lock:
            self._save(_File(1, found))
            self._lost = None

    def _check_found(self) -> None:
        if self._lost is not None:
            raise Unavailable(f"the holds on {self.log} are being read from its entries")

    def _read(self) -> _File | None:
        try:
            if self._disk.size(self._path) <= MAX_BYTES:
                found = msgspec.json.decode(self._disk.read(self._path), type=_File)
                return found if found.version == 1 else None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        return None

    def __iter__(self) -> Iterator[Hold]:
        return iter(list(self._file.holds))

    def get(self, name: str) -> Hold:
        """Returns a hold. Raises NotFound."""
        for hold in self:
            if hold.name == name:
                return hold
        raise NotFound(f"there is no hold {name[:80]!r} on {self.log}")

    def prepare(self, hold: Hold) -> Hold:
        """Takes a hold whose entry is about to be put; returns it as it is to be recorded.

        Raises Conflict where there is another hold of that name, or are too many; Unavailable while
        the register is made anew.
        """
        with self._lock:
            self._check_found()
            known = next((one for one in self if one.name == hold.name), None)
            if known is not None:
                same = (known.what, known.object, known.query, known.since, known.until)
                wanted = (hold.what, hold.object, hold.query, hold.since, hold.until)
                if not known.on_record and same == wanted and known.reason == hold.reason:
                    return known
                raise Conflict(
                    f"there is a hold {hold.name} on {self.log} already", advice="take another name"
                )
            if len(self._file.holds) >= MAX_HOLDS:
                raise Conflict(f"{self.log} has {MAX_HOLDS} holds: no more are taken")
            self.add(hold)
            return hold

    def end(self, name: str, time: str, actor: str, reason: str) -> Hold:
        """Notes that a release is about to be put on record. Raises NotFound, InputError."""
        if not reason.strip() or len(reason) > MAX_TEXT:
            raise InputError(f"a release has a reason of 1 to {MAX_TEXT} characters")
        with self._lock:
            self._check_found()
            hold = self.get(name)
            if not hold.ending:
                hold = replace(hold, ending={"time": time, "actor": actor, "reason": reason})
                self.add(hold)
            return hold

    def held(self, shard: str, first: int, size: int) -> bool:
        """Whether a segment with the entries from `first` to before `size` is on hold."""
        return self._lost is not None or any(hold.covers(shard, first, size) for hold in self)

    def add(self, hold: Hold) -> None:
        """Puts a hold into the register, in the place of the one of that name."""
        with self._lock:
            holds = [one for one in self._file.holds if one.name != hold.name]
            self._save(replace(self._file, holds=[*holds, hold]))

    def placed(self, name: str, shard: str, index: int) -> Hold:
        """Notes where the entry that placed a hold stands. Raises NotFound."""
        with self._lock:
            hold = replace(self.get(name), shard=shard, index=index)
            self.add(hold)
            return hold

    def drop(self, name: str) -> None:
        """Lets go of a hold whose release is in the log."""
        with self._lock:
            holds = [one for one in self._file.holds if one.name != name]
            self._save(replace(self._file, holds=holds))

    def see(self, name: str, ranges: Mapping[str, list[Range]], seen: Mapping[str, int]) -> None:
        """Notes what more a hold on an object covers, and how far its log was looked through."""
        with self._lock:
            hold = self.get(name)
            most = max(1, MAX_RANGES // max(1, len({*hold.ranges, *ranges})))
            joined = {
                shard: Ranges([*hold.ranges.get(shard, []), *ranges.get(shard, [])], most).list()
                for shard in {*hold.ranges, *ranges}
            }
            new = replace(hold, ranges=joined, seen={**hold.seen, **seen})
            if new != hold:
                self.add(new)

    def _save(self, file: _File) -> None:
        self._disk.make_directory(self._path.parent)
        write_file(self._disk, self._path, msgspec.json.encode(file) + b"\n", 0o600)
        self._file = file


def _acts(shard: str, reader: ShardReader) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Yields the acts of holds in a shard: time of receipt, shard, index, record.

    Only entries of Muniment's own count; what others send says another `via`. Raises Corrupt, at
    the end, where what was read is not all that the shard has: a store may have been asked.
    """
    tree = Following(reader)
    while tree.place < tree.size:
        packed = reader.packed(tree.place)
        tree.take(packed.payload, packed.count)
        if _MARK in packed.payload:
            for index, entry in enumerate(kernel.unpack(packed.payload), packed.first):
                if _MARK in entry and (found := _own(entry)) is not None:
                    yield found[0], shard, index, found[1]
    tree.check()


def _own(entry: bytes) -> tuple[str, dict[str, Any]] | None:
    line, _, body = entry.partition(b"\n")
    try:
        header, record = json.loads(line), json.loads(body)
    except (ValueError, RecursionError):
        return None
    own = isinstance(header, dict) and header.get("via") == header.get("as") == SOURCE
    act = isinstance(record, dict) and isinstance(record.get("resource"), dict)
    return (str(header.get("at")), record) if own and act else None


def _after(holds: list[Hold], shard: Any, index: Any, record: Any) -> list[Hold]:
    """The holds after an act. Raises Corrupt for one that cannot be read: it may hold anything."""
    name = str((record.get("resource") or {}).get("name"))
    others = [hold for hold in holds if hold.name != name]
    if record.get("action") == RELEASED:
        return others
    if record.get("action") != PLACED:
        return holds
    return [*others, hold_of(record, shard, index)]
