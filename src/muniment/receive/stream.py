"""The TCP and TLS server of all stream protocols: connections, their bounds, back-pressure.

A protocol is a `Session`, one a connection: bytes go in, and it may answer. What it need not think
of: the number of connections, silence, peers that do not read their answers, TLS and client
certificates, the PROXY protocol (see accept.py), and holding all senders back at once.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network

from muniment.clock import Clock
from muniment.receive.accept import Acceptor
from muniment.receive.connection import Connection, Session
from muniment.receive.port import Count
from muniment.receive.sockets import bound_address

__all__ = ["Connection", "Session", "StreamServer"]

SWEEP_SECONDS = 1.0
QUIET_SECONDS = 0.1
LAST_WORDS_SECONDS = 2.0
DEAF_SECONDS = 60.0
"""A peer that takes none of what was written to it for so long is closed."""

CLOSE_SECONDS = 5.0
"""How long what was written may take to leave a connection that is being closed."""


class StreamServer:
    """Serves sessions on a bound TCP socket."""

    def __init__(
        self,
        listener: socket.socket,
        name: str,
        session: Callable[[Connection], Session],
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        max_connections: int = 1_000,
        idle_seconds: float = 3_600.0,
    ) -> None:
        self.name, self.session, self.clock = name, session, clock
        self.max_connections, self._idle_seconds = max_connections, idle_seconds
        self.connections: set[Connection] = set()
        self._address = str(bound_address(listener))
        self._acceptor = Acceptor(
            listener,
            lambda client: Connection(self, client),
            name,
            clock,
            tls=tls,
            proxies=proxies,
        )
        self._sweeper: asyncio.Task[None] | None = None
        self.held = False
        self.bytes = self.refused = self.idle = self.deaf = self.pauses = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._address

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._sweeper is not None

    @property
    def counts(self) -> Sequence[Count]:
        """The numbers that all stream protocols have."""
        name = self.name
        return (
            Count("receive_bytes", name, "Bytes received.", lambda: self.bytes),
            Count(
                "receive_connections",
                name,
                "Open connections.",
                lambda: len(self.connections),
                True,
            ),
            Count("receive_refused", name, "Connections over the bound.", lambda: self.refused),
            Count("receive_idle", name, "Connections closed for idleness.", lambda: self.idle),
            Count("receive_deaf", name, "Closed: did not read its answers.", lambda: self.deaf),
            Count("receive_pauses", name, "Times that senders had to wait.", lambda: self.pauses),
            *self._acceptor.counts,
        )

    async def start(self) -> None:
        """Begins to accept."""
        await self._acceptor.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop_accepting(self) -> None:
        """Accepts nothing more. Connections go on. May be called again, and without `start`."""
        self._acceptor.close()

    async def last_words(self, *, farewell: bool = False) -> None:
        """Waits until nothing has come for a moment: what was sent before a stop is taken.

        With `farewell` those that still send are then told to go elsewhere, and heard until they
        do; see Connection.farewell.
        """
        await self._quiet()
        if farewell and self.connections:
            for connection in self.connections:
                connection.farewell()
            await self._quiet()

    async def _quiet(self) -> None:
        before = -1
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while self.connections and (self.held or self.bytes != before):
                    before = self.bytes
                    await asyncio.sleep(QUIET_SECONDS)

    def close_all(self) -> None:
        """Closes all connections; their sessions are ended soon after."""
        for connection in list(self.connections):
            connection.close()

    async def stop(self) -> None:
        """Stops accepting, closes all connections, and returns when all sessions have ended."""
        await self.stop_accepting()
        self.close_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while self.connections:
                    await asyncio.sleep(0.005)
        for connection in list(self.connections):
            connection.abort()
        while self.connections:
            await asyncio.sleep(0)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def admit(self, connection: Connection) -> bool:
        """Counts a connection in; False where there are too many."""
        if len(self.connections) >= self.max_connections:
            self.refused += 1
            return False
        self.connections.add(connection)
        return True

    def hold_all(self) -> None:
        """Reads no connection, new ones neither, until `release_all`."""
        if not self.held:
            self.held = True
            self.pauses += 1
            for connection in self.connections:
                connection.settle()

    def release_all(self) -> None:
        """Reads on, those excepted that are held by themselves."""
        if self.held:
            self.held = False
            for connection in self.connections:
                connection.settle()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self.clock.monotonic()
            for connection in list(self.connections):
                self._look(connection, now)

    def _look(self, connection: Connection, now: float) -> None:
        """Closes a connection that is over a bound of time."""
        if connection.closing:
            if now - connection.heard > CLOSE_SECONDS:
                connection.abort()
        elif connection.deaf_since is not None:
            if now - connection.deaf_since > DEAF_SECONDS:
                self.deaf += 1
                connection.abort()
        elif not connection.waits and now - connection.heard > self._idle_seconds:
            self.idle += 1
            connection.close()
