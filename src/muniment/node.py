"""A node: settings made into shards, a query process, an HTTP server and receivers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from socket import SOCK_STREAM, socket
from typing import Self

from muniment.access import Guard, Scope, Tokens
from muniment.api import Context, Limits, build_app
from muniment.api.server import HttpServer
from muniment.clock import Clock, SystemClock
from muniment.data_directory import DataDirectory, Randomness
from muniment.listening import receivers
from muniment.log.disk import Disk, PosixDisk
from muniment.query import QueryProcess
from muniment.receive import Receiver
from muniment.receive.sockets import bind, bound_address
from muniment.receive.target import Target
from muniment.receive.tls import tls_context
from muniment.settings import Settings
from muniment.shards import AnyShard, Shards, close_shards, open_shards
from muniment.storing import Stores
from muniment.watch import Completeness
from muniment.watch.commit import Committer

FIRST_NAME = "admin"
SEARCH_SECONDS = 20.0
WATCH_SECONDS = 2.0
_logger = logging.getLogger(__name__)


class Node:
    """A running node. `open` prepares it, `serve` runs it until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        directory: DataDirectory,
        stores: Stores,
        shards: Mapping[str, Mapping[str, AnyShard]],
        tokens: Tokens,
        first_token: str | None,
        clock: Clock,
        disk: Disk,
    ) -> None:
        self.settings, self.first_token = settings, first_token
        self._directory, self._shards, self._clock = directory, shards, clock
        self._stores = stores
        self._tokens, self._disk = tokens, disk
        self._listener: socket | None = None
        self._receivers: list[Receiver] = []
        self._stop: asyncio.Event | None = None
        self._watching: list[asyncio.Task[None]] = []

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
            tokens = Tokens.open(directory.tokens, disk=disk, clock=clock, randomness=randomness)
            stores = Stores(settings, directory, disk=disk, clock=clock, randomness=randomness)
            opened = open_shards(settings, directory, stores, clock)
            first = None if len(tokens) else tokens.create(FIRST_NAME, [Scope.ADMIN])
        except BaseException:
            close_shards(opened)
            if stores is not None:
                stores.close()
            directory.release()
            raise
        return cls(settings, directory, stores, opened, tokens, first, clock, disk)

    async def serve(self, started: Callable[[Node], None] | None = None) -> None:
        """Runs until SIGTERM, SIGINT or `stop`; calls `started` once everything listens.

        On the way out: receivers stop and send what they hold, answers under way are given, the
        shards publish their last checkpoint, the query process ends.
        """
        self._stop = asyncio.Event()
        query = QueryProcess(
            self.settings.data,
            self._names(),
            sources=self.settings.sources,
            sources_python=self.settings.sources_python,
            store=self.settings.store[0] if self.settings.store else None,
        )
        context = self._context(query)
        self._stores.join(context)
        self._watch(query, context)
        try:
            tls = self._tls()
            self._listener = bind(self.settings.listen, SOCK_STREAM)
            for receiver in receivers(self.settings, context):
                self._receivers.append(receiver)
            counts = [count for receiver in self._receivers for count in receiver.counts]
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
            await self._close(query, context)

    def stop(self) -> None:
        """Makes `serve` end; for the event loop's thread."""
        if self._stop is not None:
            self._stop.set()

    @property
    def url(self) -> str:
        """Where HTTP is spoken, with the real port."""
        scheme = "https" if self.settings.tls else "http"
        found = bound_address(self._listener) if self._listener else self.settings.listen
        return f"{scheme}://{found}"

    @property
    def syslog(self) -> str | None:
        """Where syslog is received over UDP and TCP, with the real port; None where it is off."""
        return self._receivers[0].address if self.settings.syslog else None

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Name and address of every receiver, with the real port."""
        return [(receiver.name, receiver.address) for receiver in self._receivers]

    async def _run(
        self,
        server: HttpServer,
        query: QueryProcess,
        context: Context,
        started: Callable[[Node], None] | None,
    ) -> None:
        assert self._stop is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._stop.set)
        serving = asyncio.create_task(server.serve())
        stopped = asyncio.create_task(self._stop.wait())
        opening = asyncio.create_task(self._open(server, query, context, started))
        try:
            await asyncio.wait({opening, stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            context.stopping.set()
            server.stop()
            await self._stop_receivers()
        finally:
            for task in (opening, stopped):
                task.cancel()
            server.stop()
            await serving
            for number in (signal.SIGTERM, signal.SIGINT):
                with suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.remove_signal_handler(number)

    async def _open(
        self,
        server: HttpServer,
        query: QueryProcess,
        context: Context,
        started: Callable[[Node], None] | None,
    ) -> None:
        """Takes entries at once; says that all is there when search is, or will not be soon."""
        for receiver in self._receivers:
            await receiver.start()
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            await asyncio.wait_for(asyncio.shield(query.start()), SEARCH_SECONDS)
        except TimeoutError:
            _logger.warning("search is not there yet; entries are taken all the same")
        context.starting = False
        self._stores.start(context.stopping)
        for one in context.completeness.values():
            self._watching.append(asyncio.create_task(one.run(context.stopping)))
        if started is not None:
            started(self)

    async def _close(self, query: QueryProcess, context: Context) -> None:
        await self._stop_receivers()
        await self._stop_watching()
        await self._stores.stop(WATCH_SECONDS)
        if self._listener is not None:
            self._listener.close()
        context.workers.shutdown(wait=False, cancel_futures=True)
        if context.attachments is not None:
            context.attachments.workers.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(close_shards, self._shards)
        await asyncio.to_thread(self._stores.close)
        await query.close()
        self._directory.release()

    async def _stop_receivers(self) -> None:
        """Stops all at the same time. One that fails keeps neither the others nor the shards."""
        stopping = [receiver.stop() for receiver in self._receivers]
        for receiver, result in zip(
            self._receivers, await asyncio.gather(*stopping, return_exceptions=True), strict=True
        ):
            if isinstance(result, BaseException):
                _logger.error("%s did not stop well", receiver.name, exc_info=result)

    async def _stop_watching(self) -> None:
        """Lets what follows the logs end its round, for a moment; it resumes from its files."""
        if self._watching:
            _, late = await asyncio.wait(self._watching, timeout=WATCH_SECONDS)
            for task in late:
                task.cancel()

    def _watch(self, query: QueryProcess, context: Context) -> None:
        settings = self.settings
        for log, shards in self._shards.items() if settings.completeness else ():
            context.completeness[log] = Completeness(
                log,
                query,
                partial(_sizes, shards),
                Committer(Target(log, shards), settings.node, self._clock),
                self._directory.books(log),
                clock=self._clock,
                disk=self._disk,
                interval=settings.completeness_interval,
                grace=settings.completeness_grace,
            )

    def _names(self) -> dict[str, list[str]]:
        return {log: list(shards) for log, shards in self._shards.items()}

    def _follow(self, query: QueryProcess) -> None:
        for log, shards in self._shards.items():
            for name, shard in shards.items():
                query.advance(log, name, shard.size)
                shard.on_commit.append(partial(query.advance, log, name))

    def _context(self, query: QueryProcess) -> Context:
        settings = self.settings
        guard = Guard(
            self._tokens,
            required=settings.tokens_required,
            open_to_all=settings.serve_without_tls_and_tokens,
        )
        limits = Limits(
            body=int(settings.max_body),
            decompressed=int(settings.max_decompressed),
            bodies=int(settings.max_bodies),
            connections=settings.max_connections,
            header_seconds=settings.header_timeout,
            body_seconds=settings.body_timeout,
            body_rate=settings.min_body_rate,
            keep_alive_seconds=settings.keep_alive,
            tails=settings.max_tails,
            index_lag=settings.max_index_lag,
        )
        return Context(
            settings.node,
            self._shards,
            query,
            guard,
            self._tokens,
            limits,
            self._clock,
            settings.tokens_required,
            starting=True,
        )

    def _tls(self) -> ssl.SSLContext | None:
        settings = self.settings
        if settings.tls_certificate is None or settings.tls_key is None:
            return None
        return tls_context(settings.tls_certificate, settings.tls_key)


def _sizes(shards: Mapping[str, AnyShard]) -> dict[str, int]:
    return {name: shard.size for name, shard in shards.items()}
