"""A shard from a store, laid down in a local folder, each segment verified before it counts.

Nothing that is there and differs is overwritten. Every file gets its name once it is whole, so a
run that was interrupted leaves whole files and drafts; the next one goes on behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from muniment.errors import Corrupt, InputError, UnknownShard
from muniment.log.committer import CHECKPOINTS
from muniment.log.disk import Disk, write_file
from muniment.log.history import newest
from muniment.log.note import Verifier
from muniment.log.pruned import PRUNED, read_pruned
from muniment.log.report import Finding
from muniment.log.segment import segment_first, segment_name
from muniment.log.shard import VERIFIER
from muniment.log.tiles import DIRECTORY
from muniment.log.verify_segment import SegmentCheck, check_segment
from muniment.store.disk import StoreDisk
from muniment.store.fetch import Fetch, differs
from muniment.store.inventory import Inventory
from muniment.store.names import is_key_of, shard_prefix, tree_name
from muniment.store.port import Store
from muniment.store.shard_growth import Copy, Growth

Progress = Callable[[int], None]
"""Called with the bytes of segments that were laid down, or found to be there, since the last."""


def lay_down(
    store: Store,
    log: str,
    shard: str,
    directory: Path,
    disk: Disk,
    *,
    all_segments: bool,
    source: StoreDisk | None = None,
    replace_damaged: bool = False,
    progress: Progress | None = None,
    threads: int = 1,
) -> Copy:
    """Puts a shard of a store into `directory`: verifier, segments, checkpoints, tiles.

    With `all_segments` every segment, else the newest ones and what companions say of the others.
    `replace_damaged` fetches segments anew that are there and do not verify. What is wrong in the
    store is told by the Copy. Raises UnknownShard, Conflict where another file is there already,
    StoreFailing, OSError.
    """
    found = source or StoreDisk(store, Inventory.of(store, shard_prefix(log, shard)))
    try:
        laying = _Laying(found, Copy(log, shard), directory, disk, replace_damaged, threads)
        return laying.run(all_segments, progress or (lambda _bytes: None))
    finally:
        if source is None:
            found.close()


class _Laying:
    """One copy under way. `tree` files that are missing are made of the segments themselves."""

    def __init__(
        self,
        source: StoreDisk,
        copy: Copy,
        directory: Path,
        disk: Disk,
        replace_damaged: bool,
        threads: int,
    ) -> None:
        self._source, self._copy, self._threads = source, copy, threads
        self._directory, self._disk, self._replace = directory, disk, replace_damaged
        self._there = Path(shard_prefix(copy.log, copy.shard))
        self._growth = Growth(copy)
        self._fetch = Fetch(source, self._there, directory, disk, replace=replace_damaged)

    def run(self, all_segments: bool, progress: Progress) -> Copy:
        copy = self._copy
        if not self._source.inventory.names(str(self._there)):
            raise UnknownShard(f"{self._source.store.url} holds nothing of {copy.log}/{copy.shard}")
        self._disk.make_directory(self._directory)
        self._remove_drafts()
        verifier = self._lay_verifier()
        if verifier is None:
            return copy
        copy.verifier = verifier
        copy.minimum = self._lay_pruned(verifier)
        firsts = self._firsts() if all_segments else self._uploaded(self._firsts())
        recent = firsts if all_segments else sorted(newest(firsts, self._length))
        wanted = [first for first in recent if first >= copy.minimum]
        with ThreadPoolExecutor(1, "restore") as pool:
            fetching = self._fetch.ahead(pool, wanted)
            chosen = set(wanted)
            for first in firsts:
                if first in chosen:
                    self._take(first, next(fetching), verifier, progress)
                else:
                    self._take_companion(first, verifier)
        self._lay_derived()
        return copy

    def _length(self, first: int) -> int:
        companion = self._source.companions(self._there).by_first.get(first)
        return 0 if companion is None else companion.length

    def _firsts(self) -> list[int]:
        """The first index of every segment that the store knows of, by itself or its companion."""
        names = [segment_first(name) for name in self._source.names(self._there)]
        known = set(self._source.companions(self._there).by_first)
        return sorted(known | {first for first in names if first is not None})

    def _uploaded(self, firsts: list[int]) -> list[int]:
        """Leaves out the last ones of which only the companion is there.

        Their upload was cut off when the node died; what is in them is in its write-ahead objects,
        and where it is not, whoever goes on from these finds it missing there.
        """
        names = set(self._source.names(self._there))
        while firsts and firsts[-1] >= self._copy.minimum and segment_name(firsts[-1]) not in names:
            firsts.pop()
        return firsts

    def _remove_drafts(self) -> None:
        for name in self._disk.names(self._directory):
            if name.startswith(".") and name.endswith(".new"):
                self._disk.remove(self._directory / name)

    def _lay_verifier(self) -> Verifier | None:
        place = self._there / VERIFIER
        try:
            data = self._source.object(str(place))
            verifier = Verifier.parse(data.decode())
            if data != f"{verifier}\n".encode():
                raise InputError("it holds more than one line with the key")
            if not is_key_of(verifier.name, self._copy.log, self._copy.shard):
                raise InputError(f"it is the key of another shard, {verifier.name}")
        except (FileNotFoundError, InputError, UnicodeDecodeError, Corrupt) as error:
            problem = "is missing" if isinstance(error, OSError) else f"no verifier key: {error}"
            self._find(str(place), problem)
            return None
        self._lay_small(VERIFIER, data)
        return verifier

    def _lay_pruned(self, verifier: Verifier) -> int:
        """Lays down the note that entries have expired; returns the first one that has not."""
        if PRUNED not in self._source.names(self._there):
            return 0
        try:
            note = read_pruned(self._source, self._there, verifier)
        except Corrupt as error:
            self._copy.findings.append(Finding.of(error))
            return 0
        if note is None:
            return 0
        self._lay_small(PRUNED, self._source.read(self._there / PRUNED))
        return note.minimum

    def _take(
        self, first: int, found: bool | Corrupt, verifier: Verifier, progress: Progress
    ) -> None:
        """Verifies a segment that lies here, and adds what it says of the tree."""
        if isinstance(found, Corrupt):
            self._lost(first, Finding.of(found), verifier)
            return
        copy, path = self._copy, self._directory / segment_name(first)
        check = check_segment(self._disk, path, verifier, threads=self._threads)
        finding = check.finding or self._growth.misplaced(check)
        if finding is not None:
            if found:
                self._disk.remove(path)
            place = str(self._there / path.name) if found else str(path)
            self._lost(first, Finding(place, finding.problem, finding.offset), verifier)
            return
        copy.fetched, copy.kept = copy.fetched + found, copy.kept + (not found)
        copy.bytes += check.length if found else 0
        self._growth.add_segment(check)
        self._compare(first, check, verifier)
        progress(check.length)

    def _compare(self, first: int, check: SegmentCheck, verifier: Verifier) -> None:
        """A segment that verifies counts, also where its companion tells of another one.

        One that was cut short and sealed again verifies as well: then the companion knows more.
        """
        companion = self._source.companions(self._there).by_first.get(first)
        if companion is None or companion.digest == self._fetch.digests.get(first):
            return
        self._find(str(self._there / check.path.name), "is not the one of which its companion says")
        place = str(self._there / tree_name(first))
        with suppress(Corrupt):
            companion.check(verifier, place)
            if companion.size > check.size:
                self._growth.miss(check.size, companion.size)

    def _lost(self, first: int, finding: Finding, verifier: Verifier) -> None:
        """A segment that cannot be had: its companion still tells of the tree."""
        self._copy.findings.append(finding)
        if first in self._source.companions(self._there).by_first:
            before = self._copy.size
            self._take_companion(first, verifier)
            if self._copy.size > before:
                self._growth.miss(first, self._copy.size)

    def _take_companion(self, first: int, verifier: Verifier) -> None:
        """Adds what a companion says of the tree in place of its segment."""
        place = str(self._there / tree_name(first))
        try:
            companion = self._source.companions(self._there).by_first[first]
            companion.check(verifier, place)
            self._growth.add_companion(companion, place)
        except Corrupt as error:
            self._copy.findings.append(Finding.of(error))

    def _lay_derived(self) -> None:
        """Writes `tiles` and `checkpoints`, after the segments that they are made of."""
        growth = self._growth
        if growth.tiles:
            self._disk.make_directory(self._directory / DIRECTORY)
        for number, hashes in enumerate(growth.tiles, 1):
            self._lay_small(f"{DIRECTORY}/{number}", bytes(hashes))
        if growth.notes:
            self._lay_small(CHECKPOINTS, bytes(growth.notes))

    def _lay_small(self, name: str, data: bytes) -> None:
        """Writes a file where none is; one that is there may be shorter, or go on behind it."""
        path = self._directory / name
        found = self._disk.read(path) if path.name in self._disk.names(path.parent) else None
        if found is not None and found.startswith(data):
            return
        if found is not None and not self._replace and not data.startswith(found):
            raise differs(path, str(self._there / name))
        write_file(self._disk, path, data)

    def _find(self, place: str, problem: str) -> None:
        self._copy.findings.append(Finding(place, problem))
