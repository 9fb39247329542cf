"""Expiry: whole segments go, oldest first, and the log says so before it happens.

A segment may go once its last entry was received longer ago than the policy's maximum, no hold is
on it, and its lock has ended in every store. The order of what is done is the promise:

1. an entry (action `retention.expired`) names the segments with size and SHA-256, and the root of
   the tree where what remains begins; a published checkpoint covers it;
2. the `pruned` note, signed by the shard's key, is written beside the segments, durable;
3. each store gets the note, and then loses all versions of the segments' objects;
4. the local segments are removed.

Whatever step is interrupted, the next round does the rest: steps 3 and 4 follow from the note
alone, and before the note nothing is removed. A store that refuses keeps its copy, and is named.
Tile files, companions and checkpoints stay for ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise

from muniment.clock import Clock, rfc3339
from muniment.errors import Corrupt, MunimentError, NoSuchObject, StoreFailing, StoreLocked
from muniment.log.disk import Disk, write_file
from muniment.log.frame import Kind
from muniment.log.history import segment_names
from muniment.log.pruned import EXPIRED, PRUNED, Pruned, read_pruned
from muniment.log.segment import SegmentHeader, segment_first, segment_name, walk
from muniment.log.tiles import WIDTH
from muniment.store.archive.port import Destination
from muniment.store.names import pruned_key, segment_key, shard_prefix
from muniment.store.port import Object
from muniment.store.retention.acts import Acts, OpenShard
from muniment.store.retention.holds import Holds
from muniment.store.retention.policy import lock_of
from muniment.store.retention.proved import proved_entry, proved_root
from muniment.store.retention.record import Record

MAX_SEGMENTS = 256
"""Segments that one act names; the next round takes the rest."""

_PIECE = 4 << 20


@dataclass(frozen=True, slots=True)
class Old:
    """A segment that may expire: its entries [first, size), and when the last one was received."""

    first: int
    size: int
    received: datetime


@dataclass(slots=True)
class ShardState:
    """What is known of a shard's expiry.

    `next` is when its oldest segment will be old enough, or a lock ends that keeps it; None where
    there is no maximum, or no whole segment. `kept_back` says what keeps a segment that is old
    enough; `kept` are by store how many expired segments it refuses to let go, `behind` why a
    store was not asked.
    """

    minimum: int = 0
    next: datetime | None = None
    kept_back: str = ""
    expired: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    behind: dict[str, str] = field(default_factory=dict)


class Expiry:
    """Expires the segments of one shard. Blocks; one thread at a time."""

    def __init__(
        self,
        open_shard: OpenShard,
        record: Record,
        holds: Holds,
        acts: Acts,
        stores: Sequence[Destination],
        disk: Disk,
        clock: Clock,
    ) -> None:
        self.state = ShardState()
        self._shard, self._directory = open_shard.shard, open_shard.directory
        self._signer = open_shard.signer
        self._record, self._holds, self._acts = record, holds, acts
        self._stores, self._disk, self._clock = stores, disk, clock
        self._clean: dict[str, int] = {}

    def round(self) -> None:
        """Ends what was begun, and expires what is due. Raises MunimentError, OSError."""
        self._finish()
        due = self._due()
        while due:
            self._expire(due)
            self._finish()
            due = self._due() if len(due) == MAX_SEGMENTS else []

    # What is due

    def _due(self) -> list[Old]:
        """The segments that may go now, oldest first, MAX_SEGMENTS at most."""
        state, policy = self.state, self._record.current
        state.next, state.kept_back = None, ""
        if policy is None or policy.maximum is None:
            return []
        found: list[Old] = []
        firsts = [f for f in self.firsts() if f >= state.minimum]
        newest: int | None = None
        for first, size in pairwise(firsts):
            old = Old(first, size, self._received(size - 1))
            due = old.received + timedelta(seconds=policy.maximum)
            if due > self._clock.now():
                state.next = due
                break
            newest = self._newest_checkpoint(firsts) if newest is None else newest
            state.kept_back = self._keeps(old, newest)
            if state.kept_back or len(found) == MAX_SEGMENTS:
                break
            found.append(old)
        return found

    def firsts(self) -> list[int]:
        """The first indexes of the shard's segments, in order."""
        firsts = (segment_first(name) for name in segment_names(self._disk, self._directory))
        return [first for first in firsts if first is not None]

    def _newest_checkpoint(self, firsts: Sequence[int]) -> int:
        """The first index of the newest segment that holds a checkpoint.

        It stays: a start compares the newest two checkpoints, of which the act makes one.
        """
        for first in reversed(firsts):
            path = self._directory / segment_name(first)
            try:
                header = SegmentHeader.read(self._disk, path)
                places = walk(self._disk, path, header.length, self._disk.size(path))
                if any(place.header.kind is Kind.CHECKPOINT for place in places):
                    return first
            except Corrupt:
                continue  # one that is being written
        return 0

    def _received(self, index: int) -> datetime:
        """When an entry was received. Raises Corrupt where it does not say, or is not the log's."""
        line = proved_entry(self._shard.reader, index).partition(b"\n")[0]
        try:
            found = datetime.fromisoformat(json.loads(line)["at"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Corrupt(
                str(self._directory), index, "a receipt header with its time", repr(line[:80])
            ) from error
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    def _keeps(self, old: Old, newest: int) -> str:
        """What keeps a segment, in words; empty where nothing does. Raises StoreFailing."""
        name = segment_name(old.first)
        if old.first >= newest:
            return f"{name} holds the newest checkpoint"
        if self._holds.held(self._shard.name, old.first, old.size):
            return f"{name} is on legal hold"
        key = segment_key(self._record.log, self._shard.name, old.first)
        for destination in self._stores:
            store = destination.store
            for one in store.write_once.versions(key):
                if one.marker or one.key != key:
                    continue
                found = store.write_once.state(key, version=one.version)
                if found.hold:
                    return f"{name} is on legal hold in {store.name}"
                if found.lock is not None and found.lock.until > self._clock.now():
                    self.state.next = found.lock.until
                    return f"{name} is locked in {store.name} until {rfc3339(found.lock.until)}"
        return ""

    # The act and the note

    def _expire(self, old: Sequence[Old]) -> None:
        minimum = old[-1].size
        header = SegmentHeader.read(self._disk, self._directory / segment_name(minimum))
        reader = self._shard.reader
        edge = reader.tile(0, minimum // WIDTH, minimum % WIDTH) if minimum % WIDTH else b""
        root = proved_root(reader, minimum)
        policy = self._record.current.number if self._record.current else 0
        record = {
            "actor": "muniment",
            "action": EXPIRED,
            "resource": {"name": f"{self._record.log}/{self._shard.name}", "type": "shard"},
            "outcome": "success",
            "message": f"entries {old[0].first:,} to {minimum - 1:,} have expired",
            "origin": self._shard.origin,
            "shard": self._shard.name,
            "first": old[0].first,
            "last": minimum - 1,
            "minimum": minimum,
            "root": root.hex(),
            "policy": policy,
            "segments": [self._described(one) for one in old],
        }
        id_ = f"{EXPIRED} {self._shard.name} {old[0].first} {minimum} {policy}"
        act = self._acts.put(record, id_, self._shard.name)
        note = Pruned.sign(self._signer, minimum, act.first, root, edge)
        if not note.check_frontier(header.frontier):
            path = str(self._directory / segment_name(minimum))
            raise Corrupt(path, 0, f"a frontier with root {root.hex()}", header.frontier.hex())
        write_file(self._disk, self._directory / PRUNED, note.note.encode())
        self.state.expired += len(old)
        if self._stores:
            self._shard.seal()  # so that the stores have the act soon, and not only the note

    def _described(self, old: Old) -> dict[str, object]:
        path = self._directory / segment_name(old.first)
        size, digest = self._disk.size(path), sha256()
        for offset in range(0, size, _PIECE):
            digest.update(self._disk.read(path, offset, min(_PIECE, size - offset)))
        return {"name": path.name, "bytes": size, "sha256": digest.hexdigest()}

    # What follows from the note

    def _finish(self) -> None:
        note = read_pruned(self._disk, self._directory, self._signer.verifier)
        if note is None:
            return
        self.state.minimum = self._shard.reader.refresh()
        for destination in self._stores:
            try:
                self._finish_store(destination, note)
                self.state.behind.pop(destination.store.name, None)
            except StoreFailing as error:
                self.state.behind[destination.store.name] = error.detail
        gone = [first for first in self.firsts() if first < note.minimum]
        for first in gone:
            self._disk.remove(self._directory / segment_name(first))
        if gone:
            self._disk.sync_directory(self._directory)

    def _finish_store(self, destination: Destination, note: Pruned) -> None:
        """Puts the note into a store, then removes what has expired there."""
        store = destination.store
        if self._clean.get(store.name, 0) >= note.minimum:
            return
        self._put_note(destination, note)
        kept = 0
        for one in store.write_once.versions(shard_prefix(self._record.log, self._shard.name)):
            first = segment_first(one.key.rpartition("/")[2])
            if first is None or first >= note.minimum:
                continue
            kept += not self._removed(destination, one)
        self.state.kept.pop(store.name, None)
        if kept:
            self.state.kept[store.name] = kept
        else:
            self._clean[store.name] = note.minimum

    def _put_note(self, destination: Destination, note: Pruned) -> None:
        store, data = destination.store, note.note.encode()
        key = pruned_key(self._record.log, self._shard.name, note.minimum)
        if store.head(key) is not None:
            return
        policy = self._record.current
        lock = lock_of(policy, self._clock.now(), destination.mode) if policy else None
        store.put_if_absent(key, data, sha256=sha256(data).digest(), lock=lock)

    def _removed(self, destination: Destination, one: Object) -> bool:
        """Removes one version; False where the store keeps it."""
        write_once = destination.store.write_once
        try:
            write_once.remove_version(one.key, one.version)
        except StoreLocked:
            return False
        except NoSuchObject:
            return True
        return True


def trouble_of(error: BaseException) -> str:
    """Returns what went wrong in a round, for the status."""
    if isinstance(error, MunimentError):
        return error.detail
    return str(error.strerror or error) if isinstance(error, OSError) else type(error).__name__
