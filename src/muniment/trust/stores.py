"""Verification of a store: every byte of every log in it, and what was done to the objects since.

What counts is the first version of each key, read and recomputed as `log.verify` does with local
files. The companions of segments are checked against the segments, so that a copy that is made
of them alone is as good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from muniment import kernel
from muniment.errors import Corrupt, InputError, NotFound
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Verifier
from muniment.log.pruned import PRUNED, parse_pruned, read_pruned
from muniment.log.report import Finding, Report, ShardReport
from muniment.log.segment import SegmentHeader, segment_first
from muniment.log.shard import VERIFIER
from muniment.log.verify import Progress, verify_shard
from muniment.store.archive.confirmed import Confirmed
from muniment.store.disk import StoreDisk, shard_names
from muniment.store.insist import Insist
from muniment.store.inventory import Inventory
from muniment.store.names import (
    is_key_of,
    log_prefix,
    segment_key,
    shard_prefix,
    tree_key,
)
from muniment.store.port import Store
from muniment.trust.executor import Executor
from muniment.trust.store_contents import find_attachments, find_bad_policies, find_claims, lags
from muniment.trust.store_objects import (
    Promise,
    find_gone,
    find_hidden,
    find_overwritten,
    find_strangers,
    find_unlocked,
    same_again,
)

ON_ITS_WAY = timedelta(hours=1)
"""A companion is put before its segment: so long the last one may be alone."""

HEADER_BLOCK = 128 << 10


@dataclass(frozen=True, slots=True)
class StoreQuestion:
    """How a store is verified; see `verify_shard` for `trust` and `keys`.

    `log` is the one log to look at, all where it is empty. `promises` say how the objects of each
    log are to be locked; `others` are stores that this one may lag behind. `confirmed` is what a
    node has read back from this store. With `repair` delete markers are removed. `now` is for what
    may still be on its way. `executor` has segments read by others.
    """

    trust: Sequence[str] = ()
    keys: Sequence[Verifier] = ()
    log: str = ""
    jobs: int = 1
    promises: Mapping[str, Promise] = field(default_factory=dict)
    others: Sequence[Store] = ()
    confirmed: Confirmed | None = None
    repair: bool = False
    now: datetime | None = None
    insist: Insist = field(default_factory=Insist)
    executor: Executor | None = None


def take_inventory(store: Store, log: str = "", insist: Insist | None = None) -> Inventory:
    """Lists a store, or what it holds of a log. Raises NotFound where it holds no shard."""
    inventory = Inventory.of(store, log_prefix(log) if log else "", insist)
    if not shard_names(inventory):
        raise NotFound(f"{store.url} holds nothing of {f'the log {log}' if log else 'any log'}")
    return inventory


def segment_bytes(inventory: Inventory) -> int:
    """Returns the bytes that verification will read of segments, for a progress bar."""
    return sum(
        held.first.size
        for held in inventory
        if held.first is not None and segment_first(held.key.rpartition("/")[2]) is not None
    )


def verify_store(
    store: Store,
    question: StoreQuestion,
    inventory: Inventory | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verifies what a store holds and returns what was found.

    Raises NotFound where there is no log, StoreFailing where the store cannot be read.
    """
    insist = question.insist
    if inventory is None:
        inventory = take_inventory(store, question.log, insist)
    report = Report()
    report.other += find_strangers(inventory)
    disk = StoreDisk(store, inventory, insist=insist)
    headers = StoreDisk(store, inventory, insist=insist, block=HEADER_BLOCK, ahead=0)
    try:
        for log, shard in shard_names(inventory):
            one = _Shard(disk, headers, log, shard, question)
            report.shards.append(one.verify(progress, report.notes))
            report.notes += report.shards[-1].notes
        report.other += find_attachments(disk)
        report.other += find_claims(disk, report)
        report.other += find_bad_policies(disk)
    finally:
        disk.close()
        headers.close()
    report.other += _find_unknown_trust(store.url, question.trust, report)
    overwritten = list(find_overwritten(store, inventory, insist))
    report.other += overwritten
    again = same_again(inventory) - len({finding.file for finding in overwritten})
    if again:
        report.notes.append(f"{again:,} objects were put again with the same bytes")
    report.other += find_hidden(store, inventory, insist, report.notes, repair=question.repair)
    report.other += find_gone(store, inventory, question.confirmed, question.log, insist)
    report.other += find_unlocked(store, inventory, insist, dict(question.promises), question.now)
    for other in question.others:
        report.notes += lags(store, report.shards, other, insist)
    return report


class _Shard:
    """One shard in a store: what `log.verify` finds, and what its companions say beside that."""

    def __init__(
        self, disk: StoreDisk, headers: StoreDisk, log: str, shard: str, question: StoreQuestion
    ) -> None:
        self._disk, self._headers, self._question = disk, headers, question
        self._log, self._name = log, shard
        self._path = Path(shard_prefix(log, shard))

    def verify(self, progress: Progress | None, notes: list[str]) -> ShardReport:
        question = self._question
        native = kernel.ACTIVE == "native"  # else other processes would verify, without the store
        report = verify_shard(
            self._path,
            trust=question.trust,
            keys=question.keys,
            jobs=question.jobs if native else 1,
            progress=progress,
            disk=self._disk,
            elsewhere=question.executor,
        )
        try:
            verifier = Verifier.parse(self._disk.object(str(self._path / VERIFIER)).decode())
        except (FileNotFoundError, InputError, UnicodeDecodeError, Corrupt):
            return report  # found above
        if not is_key_of(verifier.name, self._log, self._name):
            report.find(self._path / VERIFIER, f"is the key of another shard, {verifier.name}")
        report.findings += self._find_pruned(verifier)
        report.findings += self._find_companions(verifier, report, notes)
        return report

    def _find_pruned(self, verifier: Verifier) -> Iterator[Finding]:
        """Every note that entries expired is signed, and says what its key says."""
        folder = self._path / PRUNED
        for name in self._disk.inventory.names(str(folder)):
            key = str(folder / name)
            try:
                note = parse_pruned(self._disk.object(key), key, verifier)
                if name != f"{note.minimum:020d}":
                    yield Finding(key, f"is the note of minimum {note.minimum}", 0)
            except Corrupt as error:
                yield Finding.of(error)

    def _find_companions(
        self, verifier: Verifier, report: ShardReport, notes: list[str]
    ) -> Iterator[Finding]:
        companions = self._disk.companions(self._path)
        for error in companions.broken.values():
            yield Finding.of(error)
        firsts = [segment_first(name) for name in self._disk.names(self._path)]
        segments = [first for first in firsts if first is not None]
        for first in segments:
            if first not in companions.by_first and first not in companions.broken:
                yield Finding(tree_key(self._log, self._name, first), "the companion is missing")
        minimum = self._minimum(verifier)
        known = sorted({*segments, *companions.by_first})
        stops = dict(pairwise([*known, report.size])) if report.root else {}
        yield from self._chain(report.root)
        for first, companion in companions.by_first.items():
            key = tree_key(self._log, self._name, first)
            try:
                companion.check(verifier, key)
            except Corrupt as error:
                yield Finding.of(error)
                continue
            if first in segments:
                yield from self._compare(first, stops.get(first, companion.size))
            elif first >= minimum:
                last = first > max(segments, default=-1)
                yield from self._missing(first, companion.size, last, notes)

    def _minimum(self, verifier: Verifier) -> int:
        try:
            note = read_pruned(self._disk, self._path, verifier)
        except Corrupt:
            return 0
        return 0 if note is None else note.minimum

    def _missing(self, first: int, size: int, last: bool, notes: list[str]) -> Iterator[Finding]:
        key = segment_key(self._log, self._name, first)
        problem = f"is missing: entries {first:,} to {size - 1:,}"
        tree = self._disk.inventory.first(tree_key(self._log, self._name, first))
        now, put = self._question.now, tree.modified if tree is not None else None
        if last and now is not None and put is not None and now - put < ON_ITS_WAY:
            notes.append(f"{key} {problem}; its companion came a moment ago: look again")
        else:
            yield Finding(key, problem)

    def _compare(self, first: int, stop: int) -> Iterator[Finding]:
        """A companion must say of its segment what the segment is; `stop` is where that ends."""
        companion = self._disk.companions(self._path).by_first[first]
        key = tree_key(self._log, self._name, first)
        segment = Path(segment_key(self._log, self._name, first))
        try:
            size, digest = self._disk.size(segment), self._digest(segment)
            header = SegmentHeader.read(self._headers, segment)
        except (Corrupt, FileNotFoundError):
            return  # found by `verify_shard`
        finally:
            self._disk.forget(segment)
            self._headers.forget(segment)
        if (companion.length, companion.digest) != (size, digest):
            yield Finding(
                key,
                f"says {companion.length:,} bytes with SHA-256 {companion.digest.hex()} of its "
                f"segment, there are {size:,} with {digest.hex()}",
            )
        if (companion.start, companion.after_failure) != (header.frontier, header.after_failure):
            yield Finding(key, "its beginning is not that of its segment")
        if companion.size != stop:
            yield Finding(key, f"says that its segment ends at {companion.size:,}, not at {stop:,}")

    def _digest(self, segment: Path) -> bytes:
        """The SHA-256 of a segment, as whoever read it says."""
        executor = self._question.executor
        told = executor.digests.get(segment) if executor is not None else None
        return told or self._disk.digest(segment)

    def _chain(self, root: str) -> Iterator[Finding]:
        """Each companion ends with the tree that the next one begins with, the last with `root`."""
        known = list(self._disk.companions(self._path).by_first.values())
        for one, following in pairwise(known):
            if one.size == following.first and one.end != following.start:
                key = tree_key(self._log, self._name, one.first)
                yield Finding(key, "its end is not the beginning of the next one")
        if known and root and known[-1].root.hex() != root:
            key = tree_key(self._log, self._name, known[-1].first)
            yield Finding(key, "its end is not that of the log")


def _find_unknown_trust(url: str, trust: Sequence[str], report: Report) -> Iterator[Finding]:
    origins = {shard.origin for shard in report.shards}
    for note in trust:
        checkpoint = Checkpoint.of_note(note)
        if checkpoint.origin not in origins:
            yield Finding(
                url, f"there is no log {checkpoint.origin}, of which a checkpoint was kept"
            )
