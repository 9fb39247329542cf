"""A node: settings made into shards, a query process, an HTTP server and receivers."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import SOCK_STREAM, socket
from typing import Self

from muniment.access import Scope, Tokens
from muniment.access.shared import SharedTokens
from muniment.api import Context, build_app
from muniment.api.access import record_change
from muniment.api.server import HttpServer
from muniment.clock import Clock, SystemClock
from muniment.data_directory import DataDirectory, Randomness
from muniment.fleet.member import State
from muniment.fleet.mirror import MirroredShard
from muniment.joining import Fleet
from muniment.leaving import hand_over, until_fenced
from muniment.listening import Receivers
from muniment.log.disk import Disk, PosixDisk
from muniment.query import QueryProcess
from muniment.query.elsewhere import Elsewhere
from muniment.receive.sockets import bind, bound_address
from muniment.serving import context_of, query_of, server_tls, tokens_of, watchers
from muniment.settings import Settings
from muniment.shards import AnyShard, Shards, close_shards, open_shards
from muniment.signals import Signals
from muniment.storing import Stores

FIRST_NAME = "admin"
SEARCH_SECONDS = 20.0
WATCH_SECONDS = 2.0
FENCED_EXIT = 75
"""EX_TEMPFAIL of sysexits.h: started again, this node goes on with new shards."""

_logger = logging.getLogger(__name__)


class Node:
    """A running node. `open` prepares it, `serve` runs it until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        directory: DataDirectory,
        stores: Stores,
        shards: Shards,
        fleet: Fleet,
        tokens: Tokens,
        first_token: str | None,
        clock: Clock,
        disk: Disk,
    ) -> None:
        self.settings, self.first_token = settings, first_token
        self._directory, self._shards, self._clock = directory, shards, clock
        self._stores, self._fleet = stores, fleet
        self._tokens, self._disk = tokens, disk
        self._listener: socket | None = None
        self._receivers = Receivers()
        self._signals = Signals()
        self._watching: list[asyncio.Task[None]] = []
        self.exit_code = 0

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        clock: Clock | None = None,
        disk: Disk | None = None,
        randomness: Randomness = os.urandom,
    ) -> Self:
        """Claims the data directory and opens its shards; `first_token` is then to be shown.

        Raises SettingsError, and Corrupt where the files are not what was promised.
        """
        settings.check_exposure()
        if settings.sources is not None:
            # Parsers belong to the query process; here they are only checked, and cost memory.
            from muniment.event.own import load_directory

            load_directory(settings.sources, python=settings.sources_python)
        clock, disk = clock or SystemClock(), disk or PosixDisk()
        directory = DataDirectory(settings.data, disk, randomness)
        directory.claim()
        opened: Shards = {}
        stores: Stores | None = None
        try:
            tokens = tokens_of(settings, directory, disk, clock, randomness)
            stores = Stores(settings, directory, disk=disk, clock=clock, randomness=randomness)
            opened = open_shards(settings, directory, stores, clock)
            fleet = Fleet(settings, directory, stores, opened, disk=disk, clock=clock)
            for shard in fleet.open():
                opened[shard.log][shard.name] = shard
            known = settings.tokens is not None or len(tokens)
            first = None if known else tokens.create(FIRST_NAME, [Scope.ADMIN])
        except BaseException:
            close_shards(opened)
            if stores is not None:
                stores.close()
            directory.release()
            raise
        return cls(settings, directory, stores, opened, fleet, tokens, first, clock, disk)

    async def serve(self, started: Callable[[Node], None] | None = None) -> None:
        """Runs until SIGTERM, SIGINT or `stop`; calls `started` once everything listens.

        On the way out: receivers stop and send what they hold, answers under way are given, the
        shards publish their last checkpoint, the query process ends.
        """
        query = query_of(self.settings, self._shards)
        context = context_of(self.settings, self._shards, query, self._tokens, self._clock)
        self._stores.join(context)
        self._fleet.join(context)
        self._watch(query, context)
        try:
            tls = server_tls(self.settings)
            self._listener = bind(self.settings.listen, SOCK_STREAM)
            self._receivers.open(self.settings, context)
            counts = self._receivers.counts
            server = HttpServer(
                build_app(context, counts),
                context,
                self._listener,
                tls,
                proxies=self.settings.proxy_from,
            )
            counts += server.acceptor.counts
            self._follow(query)
            await self._run(server, query, context, started)
        finally:
            try:
                await self._close(query, context)
            finally:
                self._signals.forget()

    def stop(self) -> None:
        """Makes `serve` end; for the event loop's thread."""
        self._signals.stop.set()

    @property
    def url(self) -> str:
        """Where HTTP is spoken, with the real port."""
        scheme = "https" if self.settings.tls else "http"
        found = bound_address(self._listener) if self._listener else self.settings.listen
        return f"{scheme}://{found}"

    @property
    def syslog(self) -> str | None:
        """Where syslog is received over UDP and TCP, with the real port; None where it is off."""
        settings = self.settings
        on = settings.syslog and settings.listeners
        return self.addresses[0][1] if on else None

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Name and address of every receiver, with the real port."""
        return self._receivers.addresses

    async def _run(
        self,
        server: HttpServer,
        query: QueryProcess | Elsewhere,
        context: Context,
        started: Callable[[Node], None] | None,
    ) -> None:
        self._signals.listen()
        serving = asyncio.create_task(server.serve())
        stopped = asyncio.create_task(self._signals.stop.wait())
        opening = asyncio.create_task(self._open(server, query, context, started))
        try:
            await asyncio.wait({opening, stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await self._drain(context)
            context.stopping.set()
            server.stop()
            await self._receivers.stop()
        finally:
            for task in (opening, stopped):
                task.cancel()
            server.stop()
            await serving

    async def _open(
        self,
        server: HttpServer,
        query: QueryProcess | Elsewhere,
        context: Context,
        started: Callable[[Node], None] | None,
    ) -> None:
        """Takes entries at once; says that all is there when search is, or will not be soon."""
        await self._receivers.start()
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            await asyncio.wait_for(asyncio.shield(query.start()), SEARCH_SECONDS)
        except TimeoutError:
            _logger.warning("search is not there yet; entries are taken all the same")
        self._stores.start(context.stopping)
        self._start_fleet(query)
        context.starting = False
        self._fleet.say(State.READY)
        following = [one.run(context.stopping) for one in context.completeness.values()]
        if isinstance(self._tokens, SharedTokens):
            told = partial(record_change, context)
            following.append(self._tokens.follow(context.stopping, told))
        if self._fleet.takeovers is not None:
            following.append(self._end_when_fenced(context.stopping))
        self._watching += [asyncio.create_task(one) for one in following]
        if started is not None:
            started(self)

    def _start_fleet(self, query: QueryProcess | Elsewhere) -> None:
        loop = asyncio.get_running_loop()

        def added(shard: MirroredShard) -> None:
            loop.call_soon_threadsafe(self._mirrored, query, shard)

        self._fleet.own.url = self._fleet.own.url or self.url
        self._fleet.own.addresses = lambda: self.addresses
        self._fleet.start(added)

    async def _hand_over(self, context: Context) -> bool:
        """Whether others can do without this node. One that never began has nothing new."""
        if self.settings.fleet is None or context.starting:
            return False
        return await hand_over(self._shards, self._stores, self._clock, self._signals.hurry)

    async def _drain(self, context: Context) -> None:
        """Says that this node is about to stop, and serves on while others turn away from it."""
        context.draining = True
        self._fleet.say(State.DRAINING)
        if self.settings.drain:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._signals.hurry.wait(), self.settings.drain)

    async def _end_when_fenced(self, stopping: asyncio.Event) -> None:
        shard = await until_fenced(self._shards, stopping)
        if shard is not None:
            _logger.error("%s/%s was taken over: this node ends", shard.log, shard.name)
            self.exit_code = FENCED_EXIT
            self.stop()

    async def _close(self, query: QueryProcess | Elsewhere, context: Context) -> None:
        await self._receivers.stop()
        handed_over = await self._hand_over(context)
        await self._stop_watching()
        await self._stores.stop(WATCH_SECONDS)
        if self._listener is not None:
            self._listener.close()
        context.workers.shutdown(wait=False, cancel_futures=True)
        if context.attachments is not None:
            context.attachments.workers.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(partial(self._fleet.stop, handed_over=handed_over))
        await asyncio.to_thread(close_shards, self._shards)
        await asyncio.to_thread(self._stores.close)
        await query.close()
        self._directory.release()

    async def _stop_watching(self) -> None:
        """Lets what follows the logs end its round, for a moment; it resumes from its files."""
        if self._watching:
            _, late = await asyncio.wait(self._watching, timeout=WATCH_SECONDS)
            for task in late:
                task.cancel()

    def _watch(self, query: QueryProcess | Elsewhere, context: Context) -> None:
        if isinstance(query, QueryProcess):
            context.completeness |= watchers(
                self.settings,
                self._shards,
                query,
                self._directory,
                clock=self._clock,
                disk=self._disk,
            )

    def _follow(self, query: QueryProcess | Elsewhere) -> None:
        for shards in self._shards.values():
            for shard in shards.values():
                self._follow_one(query, shard)

    def _follow_one(self, query: QueryProcess | Elsewhere, shard: AnyShard) -> None:
        shard.on_commit.append(partial(query.advance, shard.log, shard.name))
        query.advance(shard.log, shard.name, shard.size)

    def _mirrored(self, query: QueryProcess | Elsewhere, shard: MirroredShard) -> None:
        """Takes in a shard that another node was found to serve; for the event loop."""
        self._shards[shard.log][shard.name] = shard
        self._follow_one(query, shard)
