"""A data directory made anew from one store: the evidence; the index is made from that.

A shard that is laid down here is marked read-only first (`marks`): whoever wrote it
may have signed more of it than the store has. Every step may be repeated: what is whole is kept,
what is damaged is fetched again, and nothing that differs is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from muniment.clock import Clock, rfc3339
from muniment.data_names import ATTACHMENTS
from muniment.errors import NotFound
from muniment.log.disk import Disk
from muniment.log.report import Finding
from muniment.store.attachments.check import claims_of
from muniment.store.disk import StoreDisk, shard_names
from muniment.store.fetch import digest_of, fetch_file
from muniment.store.insist import Insist
from muniment.store.inventory import Inventory
from muniment.store.marks import Mark, Why, read_mark, write_mark
from muniment.store.names import LOGS, Kind, attachment_key, log_prefix, parse, shard_prefix
from muniment.store.port import Store
from muniment.store.shard_copy import lay_down
from muniment.store.shard_growth import Copy
from muniment.store.witnesses import Newer

DRAFT = ".part"

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and all bytes."""


@dataclass(slots=True)
class Restored:
    """What a restore brought back, shard by shard, and the attachments of all logs."""

    shards: list[Copy] = field(default_factory=list)
    newer: dict[tuple[str, str], Newer] = field(default_factory=dict)
    attachments: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is known to be missing or wrong."""
        sizes = {(copy.log, copy.shard): copy.size for copy in self.shards}
        short = any(newer.size > sizes.get(name, 0) for name, newer in self.newer.items())
        return not short and not self.findings and all(copy.whole for copy in self.shards)

    def statements(self, store: str) -> Iterator[str]:
        """Says of each shard what is there and what is missing, one sentence or two each."""
        for copy in self.shards:
            yield _statement(copy, self.newer.get((copy.log, copy.shard)), store)
        known = {(copy.log, copy.shard) for copy in self.shards}
        for (log, shard), newer in self.newer.items():
            if (log, shard) not in known:
                yield (
                    f"{store} holds nothing of {log}/{shard}; {newer.source} names "
                    f"{newer.size:,}: entries 0 to {newer.size - 1:,} are missing"
                )


def _statement(copy: Copy, newer: Newer | None, store: str) -> str:
    name = f"{copy.log}/{copy.shard}"
    if copy.size <= copy.minimum:
        said = f"{store} holds no entries of {name}"
    else:
        said = f"{store} holds entries {copy.minimum:,} to {copy.size - 1:,} of {name}"
    if copy.minimum:
        said += f" (those before have expired: {copy.minimum:,})"
    holes = [_range(first, stop) for first, stop in copy.missing]
    if holes:
        said += f", but not {', '.join(holes)}: those are missing"
    if newer is not None and newer.size > copy.size:
        said += (
            f"; a newer checkpoint (from {newer.source}) names {newer.size:,}: entries "
            f"{_range(copy.size, newer.size)} are missing"
        )
    return said


def _range(first: int, stop: int) -> str:
    return f"{first:,} to {stop - 1:,}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a store is restored to: a data directory that the caller has claimed."""

    data: Path
    disk: Disk
    clock: Clock


class Restore:
    """One restore from one store. Raises NotFound where the store holds no such log."""

    def __init__(
        self, store: Store, target: Target, log: str = "", insist: Insist | None = None
    ) -> None:
        self._store, self._target, self._insist = store, target, insist or Insist()
        inventory = Inventory.of(store, log_prefix(log) if log else LOGS, self._insist)
        self.names = shard_names(inventory)
        if not self.names:
            what = f"the log {log}" if log else "any log"
            raise NotFound(f"{store.url} holds nothing of {what}")
        self.source = StoreDisk(store, inventory, insist=self._insist)
        self._done = 0
        self._total = sum(one.first.size for one in inventory if one.first and _counts(one.key))

    @property
    def logs(self) -> list[str]:
        """The logs that are restored."""
        return sorted({log for log, _ in self.names})

    def run(self, progress: Progress, threads: int = 1) -> Restored:
        """Brings back all shards and attachments.

        Raises Conflict where a file that differs is there already, StoreFailing, OSError.
        """
        found = Restored()
        for log, shard in self.names:
            found.shards.append(self._shard(log, shard, progress, threads))
            found.findings += found.shards[-1].findings
        for log in self.logs:
            for key in self._attachments(log):
                self._attachment(key, found)
                self._advance(progress, self.source.size(Path(key)))
        for copy in found.shards:
            if copy.whole:
                found.findings += self._unattached(copy)
        return found

    def close(self) -> None:
        """Ends the threads."""
        self.source.close()

    def _shard(self, log: str, shard: str, progress: Progress, threads: int) -> Copy:
        data, disk = self._target.data, self._target.disk
        directory = data / shard_prefix(log, shard)
        mark = read_mark(disk, data, log, shard)
        new = not directory.exists()
        if new:
            mark = Mark(Why.RESTORED, self._now(), store=self._store.url, done=False)
            write_mark(disk, data, log, shard, mark)
        ours = mark is not None and mark.why is Why.RESTORED
        copy = lay_down(
            self._store,
            log,
            shard,
            directory,
            disk,
            all_segments=True,
            source=self.source,
            replace_damaged=ours,
            progress=lambda count: self._advance(progress, count),
            threads=threads,
        )
        if ours:
            mark = Mark(
                Why.RESTORED,
                self._now(),
                f"restored from {self._store.url}",
                self._store.url,
                size=copy.size,
                missing=[(first, stop - 1) for first, stop in copy.missing],
            )
            write_mark(disk, data, log, shard, mark)
        return copy

    def _attachments(self, log: str) -> Iterator[str]:
        for held in self.source.inventory:
            name = parse(held.key)
            if name is not None and name.kind is Kind.ATTACHMENT and name.log == log and held.first:
                yield held.key

    def _unattached(self, copy: Copy) -> Iterator[Finding]:
        """Finds attachments that a whole shard's entries name, and that neither place has."""
        directory = self._target.data / shard_prefix(copy.log, copy.shard)
        seen: set[bytes] = set()
        for claim in claims_of(directory, copy.size, self._target.disk):
            key = attachment_key(copy.log, claim.sha256)
            here = self._target.data / ATTACHMENTS / copy.log / Path(*key.split("/")[-2:])
            if claim.sha256 in seen or self.source.inventory.first(key) or here.exists():
                continue
            seen.add(claim.sha256)
            yield Finding(key, f"is missing: {claim.place} names it")

    def _attachment(self, key: str, found: Restored) -> None:
        """Brings back one attachment; its name is the hash of its bytes."""
        log, name = key.split("/")[1], key.rpartition("/")[2]
        folder = self._target.data / ATTACHMENTS / log / name[:2]
        path, disk = folder / name, self._target.disk
        disk.make_directory(folder)
        if name in disk.names(folder) and digest_of(disk, path).hex() == name:
            found.attachments += 1
            return
        draft = folder.parent / f".{name}{DRAFT}"
        if draft.name in disk.names(folder.parent):
            disk.remove(draft)
        try:
            digest = fetch_file(self.source, Path(key), draft, disk, 0o600).hex()
        except FileNotFoundError:
            found.findings.append(Finding(key, "has gone since it was listed"))
            return
        if digest != name:
            disk.remove(draft)
            found.findings.append(Finding(key, f"has the SHA-256 {digest}, not that of its name"))
            return
        disk.seal(draft)
        disk.rename(draft, path)
        disk.sync_directory(folder)
        found.attachments += 1

    def _advance(self, progress: Progress, count: int) -> None:
        self._done += count
        progress(min(self._done, self._total), self._total)

    def _now(self) -> str:
        return rfc3339(self._target.clock.now())


def _counts(key: str) -> bool:
    name = parse(key)
    return name is not None and name.kind in (Kind.SEGMENT, Kind.ATTACHMENT)
