"""The archive of a node: every store has a lane of its own, every shard a shelf."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from muniment.clock import Clock
from muniment.data_names import ARCHIVE, ATTACHMENTS, LOGS
from muniment.errors import MunimentError
from muniment.log.disk import Disk
from muniment.store.archive.attachments import AttachmentFiles
from muniment.store.archive.catalog import FileCatalog
from muniment.store.archive.eviction import Evictor
from muniment.store.archive.lane import Lane
from muniment.store.archive.port import Cache, Destination, Rules
from muniment.store.archive.segments import Segments
from muniment.store.archive.shelf import Shelf
from muniment.store.archive.status import ArchiveStatus, status_of
from muniment.store.tiered import Remote

STOP_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Archive:
    """Carries sealed segments and attachments to stores, and evicts what the primary has.

    Made before the shards are opened, started after. `catalog` methods (`evicted`, `forget`) serve
    a TieredDisk in the same process.
    """

    def __init__(
        self,
        data: Path,
        shards: Mapping[str, Sequence[str]],
        destinations: Sequence[Destination],
        *,
        disk: Disk,
        clock: Clock,
        rules: Rules | None = None,
        cache: Cache | None = None,
    ) -> None:
        """`shards` are the names of the shards by log; the first destination is the primary.

        `disk` is the local one. Reads the books; no request is made.
        """
        rules = rules or Rules()
        primary = destinations[0]
        stores = {to.store.name: to for to in destinations}
        books = data / ARCHIVE
        self._segments: dict[tuple[str, str], Segments] = {}
        shelves: list[Shelf] = []
        for log, names in shards.items():
            for name in names:
                folder, outbox = data / LOGS / log / name, books / f"{log}.{name}"
                shelf = Segments(log, folder, outbox, primary.store, disk, rules, clock.monotonic)
                self._segments[log, name] = shelf
                shelves.append(shelf)
            kept = books / f"{log}.{ATTACHMENTS}.json"
            folder = data / ATTACHMENTS / log
            shelves.append(AttachmentFiles(log, folder, kept, disk, clock.monotonic))
        self._others = FileCatalog(books, primary.store.name)
        self._rules, self._clock = rules, clock
        self._shelves = shelves
        self._told: dict[tuple[str, str], int] = {}
        self._evictor = Evictor(
            list(self._segments.values()), cache or Cache(), primary.store.name, disk, clock
        )
        self.lanes = [
            Lane(
                to,
                shelves,
                stores,
                rules,
                clock,
                primary=to is primary,
                after=self._after if to is primary else lambda: False,
            )
            for to in destinations
        ]

    def start(self) -> None:
        """Begins to carry."""
        for lane in self.lanes:
            lane.start()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ends the lanes, and writes the books. What is under way is carried again by the next."""
        for lane in self.lanes:
            lane.stop(0)
        deadline = time.monotonic() + seconds
        for lane in self.lanes:
            lane.stop(max(0.0, deadline - time.monotonic()))
        for shelf in self._shelves:
            with suppress(OSError):  # the books can be lost
                shelf.books.flush(now=True)

    def sealed(self, path: Path | None = None) -> None:  # noqa: ARG002
        """Tells that a segment was sealed, or an attachment came. For any thread."""
        for lane in self.lanes:
            lane.wake()

    def covered(self, log: str, shard: str) -> int:
        """Returns the entries that the primary has without a gap, read back."""
        return self._segments[log, shard].covered()

    def evicted(self, log: str, shard: str) -> Mapping[int, Remote]:
        """Returns the segments that are in the store only, by first index; of any shard here."""
        shelf = self._segments.get((log, shard))
        return shelf.evicted() if shelf is not None else self._others.evicted(log, shard)

    def forget(self, log: str, shard: str, first: int) -> None:
        """Drops a segment that has expired. Raises OSError."""
        shelf = self._segments.get((log, shard))
        if shelf is not None and shelf.books.forget(f"{first:020d}"):
            shelf.books.flush(now=True)

    def status(self) -> ArchiveStatus:
        """Returns what waits, what failed, what was evicted. Asks no store; for any thread."""
        return status_of(self.lanes, self._segments.values(), self._clock)

    def _after(self) -> bool:
        """The end of a round of the primary's lane; says whether there is more to evict."""
        primary = self.lanes[0]
        for (log, shard), shelf in self._segments.items():
            covered = shelf.covered()
            if covered > self._told.get((log, shard), 0):
                shelf.books.flush(now=True)
                self._tell(log, shard, covered)
        return self._evictor.run(primary.health, primary.check)

    def _tell(self, log: str, shard: str, covered: int) -> None:
        """Who is told may fail (another store, say); that is no failure of this one."""
        try:
            self._rules.confirmed(log, shard, covered)
        except MunimentError as error:
            _log.warning("%s/%s: told again later: %s", log, shard, error.detail)
            return
        self._told[log, shard] = covered
