"""From the settings of stores to what a node has of them: claims, archive, retention, checks.

`Stores` is made when the data directory is claimed, serves `shards.open_shards`, follows the
shards, and ends in two steps: what follows stops before the shards close, the claims after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event

from muniment.api import Context
from muniment.api.retention import resolver
from muniment.clock import Clock
from muniment.data_directory import DataDirectory, Randomness
from muniment.data_names import ATTACHMENTS, CLOSING, LOGS, WORM
from muniment.errors import MunimentError, NotFound
from muniment.log.disk import Disk
from muniment.log.note import Verifier
from muniment.receive.target import Target
from muniment.replication import NAME as WAL
from muniment.replication import Replication
from muniment.settings import Role, Settings
from muniment.store.archive import Archive, Cache, Destination, Rules
from muniment.store.attachments import Attachments, Copies, Files
from muniment.store.closing import close_out
from muniment.store.opening import open_store
from muniment.store.port import Mode, Store
from muniment.store.retention.acts import OpenShard
from muniment.store.retention.follow import Retention
from muniment.store.retention.record import Retentions
from muniment.store.takeover import Taken
from muniment.store.tiered import TieredDisk
from muniment.store.wal import Claim
from muniment.store.worm import WormWatch, check_archive, check_wal, expected_of
from muniment.watch.commit import Committer
from muniment.watch.notices import Notices

CLOSING_SECONDS = 600.0


class Stores:
    """The stores of a node, and what works for them; of a node without stores, its local parts."""

    def __init__(
        self,
        settings: Settings,
        directory: DataDirectory,
        *,
        disk: Disk,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        """Opens the stores and the recorded policies; sweeps half-made attachments.

        Raises SettingsError, StoreFailing where the write-ahead store cannot be tried, Corrupt.
        """
        self._settings, self._directory = settings, directory
        self._disk, self._clock, self._randomness = disk, clock, randomness
        self._destinations = [
            Destination(open_store(store, store.name), Mode(store.lock.value))
            for store in settings.store
        ]
        self._retentions = Retentions.open(
            settings.data, settings.logs, settings.retention, disk, clock
        )
        self._files = Files(
            settings.data / ATTACHMENTS,
            disk,
            max_bytes=int(settings.max_attachment),
            randomness=randomness,
        )
        self._files.sweep()
        self.replication = self._replicate()
        self._archive: Archive | None = None
        self._retention: Retention | None = None
        self._notices: Notices | None = None
        self._worm: dict[str, WormWatch] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def _replicate(self) -> Replication | None:
        settings = self._settings
        if settings.wal is None:
            return None
        return Replication(
            settings.wal,
            settings.data,
            settings.node,
            settings.origin,
            disk=self._disk,
            clock=self._clock,
            randomness=self._randomness,
        )

    def shelve(self, names: Mapping[str, Sequence[str]]) -> Disk:
        """Makes the archive of these shards, by log.

        Returns the disk to open them with: it shows what was evicted to the primary store.
        """
        if not self._destinations:
            return self._disk
        settings = self._settings
        size = None if settings.cache_size is None else int(settings.cache_size)
        self._archive = Archive(
            settings.data,
            names,
            self._destinations,
            disk=self._disk,
            clock=self._clock,
            rules=Rules(
                lock_for=self._retentions.lock_for,
                held=self._held,
                minimum=self._minimum,
                confirmed=self._confirmed,
                tell=self._tell,
            ),
            cache=Cache(size, settings.cache_age),
        )
        return TieredDisk(
            self._disk, settings.data / LOGS, self._archive, self._destinations[0].store
        )

    def sealed(self, path: Path) -> None:
        """Told of each segment that was sealed; for the writers' threads."""
        if self._archive is not None:
            self._archive.sealed(path)

    def _held(self, log: str, shard: str, first: int, size: int) -> bool:
        return self._retention is not None and self._retention.held(log, shard, first, size)

    def _minimum(self, log: str, shard: str) -> int:
        return 0 if self._retention is None else self._retention.minimum(log, shard)

    def _confirmed(self, log: str, shard: str, size: int) -> None:
        if self.replication is not None:
            self.replication.archived(log, shard, size)
        if self._retention is not None:
            self._retention.wake()

    def _tell(self, log: str, record: dict[str, object]) -> None:
        if self._notices is not None:
            self._notices.tell(log, record)

    def keep(self, shards: Mapping[str, Mapping[str, OpenShard]], disk: Disk) -> None:
        """Opens the registers of holds and the follower of retention. Raises Corrupt, OSError."""
        self._retention = Retention.open(
            self._settings.data,
            self._retentions,
            shards,
            self._destinations,
            self._settings.node,
            disk=disk,
            clock=self._clock,
            pause=self._settings.retention_interval,
        )

    def join(self, context: Context) -> None:
        """Gives the HTTP face what it shows of the stores."""
        settings, committers = self._settings, self._committers(context)
        self._notices = Notices(committers)
        context.archive, context.retention = self._archive, self._retention
        if self.replication is not None:
            context.wal = self.replication.claims
        context.attachments = Attachments(
            self._files, self._copies(), replicated=self.replication is not None
        )
        if self._retention is not None:
            self._retention.resolve = resolver(context.query, self._retention.logs)
        if settings.worm_check is not None and Role.INGEST in settings.roles:
            self._check(context, committers[settings.logs[0]], settings.worm_check)

    def _committers(self, context: Context) -> dict[str, Committer]:
        return {
            log: Committer(Target(log, shards), self._settings.node, self._clock)
            for log, shards in context.logs.items()
        }

    def _copies(self) -> Copies | None:
        if not self._destinations:
            return None
        primary = self._destinations[0]
        return Copies(
            primary.store,
            lambda log: self._retentions.lock_for(log, self._clock.now(), primary.mode),
        )

    def _check(self, context: Context, put: Committer, every: timedelta) -> None:
        """Sets up the check of each store on its schedule."""
        settings, clock = self._settings, self._clock
        checks = {
            one.name: partial(
                check_archive,
                to.store,
                one,
                expected_of(settings, one),
                clock=clock,
            )
            for one, to in zip(settings.store, self._destinations, strict=True)
        }
        if self.replication is not None:
            checks[WAL] = partial(check_wal, self.replication.store, clock=clock)
        for name, check in checks.items():
            books = settings.data / WORM / f"{name}.json"
            context.worm[name] = self._worm[name] = WormWatch(
                name, check, put, books, clock=clock, disk=self._disk, interval=every
            )

    @property
    def primary(self) -> Store | None:
        """The store that sealed segments go to first."""
        return self._destinations[0].store if self._destinations else None

    def unclosed(self, log: str) -> Sequence[str]:
        """Returns the shards of a log that were claimed and not closed. Raises StoreFailing."""
        if self.replication is None:
            return ()
        try:
            return self.replication.shards(log)
        except NotFound:
            return ()

    def newest(self, log: str, shard: str) -> str:
        """Returns the last key of a shard's write-ahead objects. Raises StoreFailing."""
        return "" if self.replication is None else self.replication.newest(log, shard)

    def close_out(self, log: str, shard: str, stopping: Event) -> Taken:
        """Closes the shard of a node that is gone; see `store.closing`. Raises MunimentError."""
        assert self.replication is not None

        def closing(claim: Claim, log: str, shard: str, verifier: Verifier) -> Taken:
            return close_out(
                claim,
                self._settings.data / CLOSING,
                log,
                shard,
                verifier,
                self._destinations,
                Rules(lock_for=self._retentions.lock_for),
                disk=self._disk,
                clock=self._clock,
                stopping=stopping,
                patience=CLOSING_SECONDS,
            )

        return self.replication.close_out(closing, log, shard)

    def has(self, log: str, shard: str, size: int) -> bool:
        """Whether the primary store, where there is one, has shown to have so many entries."""
        if self._archive is None:
            return True
        try:
            return self._archive.covered(log, shard) >= size
        except (MunimentError, OSError):
            return False

    def start(self, stopping: asyncio.Event) -> None:
        """Begins to follow the shards; for the event loop."""
        if self._archive is not None:
            self._archive.start()
        for watch in self._worm.values():
            watch.start()
        if self._notices is not None:
            self._tasks.append(asyncio.create_task(self._notices.run(stopping)))
        if self._retention is not None:
            self._tasks.append(asyncio.create_task(self._retention.run(stopping)))

    async def stop(self, seconds: float) -> None:
        """Ends what follows the shards; before these are closed."""
        for watch in self._worm.values():
            await watch.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
        if self._archive is not None:
            await asyncio.to_thread(self._archive.stop)

    def close(self) -> None:
        """Lets go of the claims and of the stores; after the shards are closed."""
        if self.replication is not None:
            self.replication.close()
        for to in self._destinations:
            with suppress(Exception):
                to.store.close()
