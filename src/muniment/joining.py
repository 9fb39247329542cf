"""From the settings of a fleet to what a node has of it: record, members, mirrors, takeovers.

`Fleet` is made when the shards are open. A node that stands alone has only its record.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from muniment.api import Context
from muniment.clock import Clock
from muniment.data_directory import DataDirectory
from muniment.fleet.calls import Calls
from muniment.fleet.member import Member, State
from muniment.fleet.members import Membership
from muniment.fleet.mirror import MirroredShard, Mirrors
from muniment.fleet.own import Own
from muniment.fleet.sources import DnsName, Objects, Source, Urls, ask
from muniment.fleet.takeover import Takeovers
from muniment.log.disk import Disk
from muniment.settings import FleetSettings, Role, Settings
from muniment.settings.fleet import DNS, STORE
from muniment.shards import AnyShard
from muniment.store.opening import open_store
from muniment.store.port import Store
from muniment.storing import Stores

Added = Callable[[MirroredShard], None]
ASKED_AT_ONCE = 32
READ_AT_ONCE = 16
ASKING_SECONDS = 2.0
INCARNATION_BYTES = 8


class Fleet:
    """The others, as far as this node is told of any."""

    def __init__(
        self,
        settings: Settings,
        directory: DataDirectory,
        stores: Stores,
        shards: Mapping[str, Mapping[str, AnyShard]],
        *,
        disk: Disk,
        clock: Clock,
    ) -> None:
        """Reads the files of the settings, opens the store of members. Raises SettingsError."""
        self.own = Own(settings, shards, os.urandom(INCARNATION_BYTES).hex())
        self.membership: Membership | None = None
        self.mirrors: Mirrors | None = None
        self.takeovers: Takeovers | None = None
        self.calls: Calls | None = None
        self._settings, self._directory, self._stores = settings, directory, stores
        self._shards, self._disk, self._clock = shards, disk, clock
        self._added: Added | None = None
        self._opened: list[Store] = []
        self._workers = ThreadPoolExecutor(ASKED_AT_ONCE, "members")
        self._readers = ThreadPoolExecutor(READ_AT_ONCE, "member records")
        if settings.fleet is not None:
            self._join(settings.fleet)

    def _join(self, fleet: FleetSettings) -> None:
        settings = self._settings
        self.calls = Calls(fleet)
        told = STORE in fleet.members
        beats = Objects(self._store(fleet), self._readers) if told else None
        self.membership = Membership(
            self._sources(fleet, self.calls, beats),
            node=settings.node,
            heartbeat=fleet.heartbeat,
            lost_after=fleet.lost_after,
            clock=self._clock,
            own=self.own.member,
            beats=beats,
        )
        if Role.QUERY in settings.roles:
            self.mirrors = self._mirrors(self.calls, self.membership)
        if Role.INGEST in settings.roles and fleet.takeover is not None:
            self.takeovers = self._takeovers(fleet, self.calls, self.membership)

    def _store(self, fleet: FleetSettings) -> Store:
        connection = fleet.store or self._settings.wal
        assert connection is not None
        self._opened.append(open_store(connection, STORE))
        return self._opened[-1]

    def _sources(
        self, fleet: FleetSettings, calls: Calls, beats: Objects | None
    ) -> Sequence[Source]:
        urls = [one for one in fleet.members if one.startswith("http") and one != fleet.url]
        names = [one for one in fleet.members if one.startswith(f"{DNS}://")]
        patience = min(fleet.heartbeat, ASKING_SECONDS)
        sources: list[Source] = [
            DnsName(calls, name, self._workers, patience=patience) for name in names
        ]
        if urls:
            sources.append(Urls(calls, urls, self._workers, patience))
        if beats is not None:
            sources.append(beats)
        return sources

    def _mirrors(self, calls: Calls, membership: Membership) -> Mirrors:
        settings = self._settings
        return Mirrors(
            settings.data,
            settings.logs,
            membership.members,
            calls,
            node=settings.node,
            disk=self._disk,
            clock=self._clock,
            writes=self._has,
            added=self._add,
            archive=self._stores.primary,
            jurisdiction=settings.jurisdiction or "",
        )

    def _takeovers(self, fleet: FleetSettings, calls: Calls, membership: Membership) -> Takeovers:
        settings = self._settings
        assert fleet.takeover is not None

        def alive(member: Member) -> Member | None:
            return ask(calls, member.url)

        return Takeovers(
            settings.logs,
            self._stores,
            membership.members,
            alive,
            self._directory.writes,
            node=settings.node,
            after=fleet.takeover.total_seconds(),
            every=fleet.heartbeat,
            clock=self._clock,
        )

    def _has(self, log: str, name: str) -> bool:
        """Whether a shard is here for another reason than that it is mirrored."""
        found = self._shards.get(log, {}).get(name)
        return found is not None and not isinstance(found, MirroredShard)

    def _add(self, shard: MirroredShard) -> None:
        if self._added is not None:
            self._added(shard)

    def join(self, context: Context) -> None:
        """Gives the HTTP face what it shows of the fleet."""
        context.own, context.membership, context.mirrors = (
            self.own,
            self.membership,
            self.mirrors,
        )

    def open(self) -> Sequence[MirroredShard]:
        """Returns the shards that were mirrored before."""
        return () if self.mirrors is None else self.mirrors.open()

    def start(self, added: Added) -> None:
        """Begins to look for others; `added` is called, on another thread, with each new shard."""
        self._added = added
        for part in (self.membership, self.mirrors, self.takeovers):
            if part is not None:
                part.start()

    def say(self, state: State) -> None:
        """Tells the others how this node is now."""
        self.own.state = state
        if self.membership is not None:
            self.membership.say()

    def stop(self, *, handed_over: bool) -> None:
        """Ends what follows others. Blocks for seconds.

        A node that has handed all over says that it has left; of any other one, the others find
        out that it is silent, and take it over where they may.
        """
        for part in (self.takeovers, self.mirrors):
            if part is not None:
                part.stop()
        self.own.state = State.LEFT if handed_over else State.DRAINING
        if self.membership is not None:
            self.membership.stop()
        for pool in (self._workers, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)
        if self.calls is not None:
            self.calls.close()
        for store in self._opened:
            with suppress(Exception):
                store.close()
