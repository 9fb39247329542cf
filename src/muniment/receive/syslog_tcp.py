"""Syslog over TCP (RFC 6587): octet counting and lines, held back when the log is slow.

What has been read is never dropped: while the intake is full no connection is read, so that the
senders wait, or spool.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import cast

from muniment.clock import Clock
from muniment.receive.framing import Cut, Framer
from muniment.receive.intake import MAX_RECORD, Intake, Origin
from muniment.receive.port import Count
from muniment.receive.sockets import bound_address, peer_text

VIA = "syslog-tcp"
BACKLOG = 1_024
SWEEP_SECONDS = 1.0
QUIET_SECONDS = 0.1
LAST_WORDS_SECONDS = 2.0
STOP_SECONDS = 15.0

_logger = logging.getLogger(__name__)


class SyslogTcp:
    """The receiver on a bound TCP socket."""

    def __init__(
        self,
        listener: socket.socket,
        source: str,
        intake: Intake,
        clock: Clock,
        *,
        max_connections: int = 1_000,
        idle_seconds: float = 3_600.0,
    ) -> None:
        self._socket, self._source = listener, source
        self.intake, self.clock = intake, clock
        self.max_connections, self._idle_seconds = max_connections, idle_seconds
        self.connections: set[_Connection] = set()
        self._address = str(bound_address(listener))
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._paused = False
        self.messages = self.bytes = self.cut = self.refused = self.idle = self.pauses = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._address

    @property
    def counts(self) -> Sequence[Count]:
        """Its numbers, and its intake's."""
        name = VIA
        return (
            Count("receive_messages", name, "Messages received.", lambda: self.messages),
            Count("receive_bytes", name, "Bytes received.", lambda: self.bytes),
            Count("receive_cut", name, "Messages that were cut.", lambda: self.cut),
            Count(
                "receive_connections",
                name,
                "Open connections.",
                lambda: len(self.connections),
                True,
            ),
            Count("receive_refused", name, "Connections over the bound.", lambda: self.refused),
            Count("receive_idle", name, "Connections closed for idleness.", lambda: self.idle),
            Count("receive_pauses", name, "Times that senders had to wait.", lambda: self.pauses),
            *self.intake.counts(name),
        )

    async def start(self) -> None:
        """Begins to accept."""
        self.intake.start()
        self.intake.on_room.append(self._resume)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), sock=self._socket, backlog=BACKLOG
        )
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Accepts nothing more, reads what is on its way, and sends it."""
        if self._server is None or self._sweeper is None:
            self._socket.close()
            return
        self._server.close()
        self._sweeper.cancel()
        await self._last_words()
        for connection in list(self.connections):
            connection.transport.close()
        while self.connections:
            await asyncio.sleep(0)
        await self.intake.close(STOP_SECONDS)

    async def _last_words(self) -> None:
        """Waits until nothing has come for a moment: what was sent before the stop is taken."""
        clock = self.clock
        deadline = clock.monotonic() + LAST_WORDS_SECONDS
        before = -1
        while self.connections and self.bytes != before and clock.monotonic() < deadline:
            before = self.bytes
            await asyncio.sleep(QUIET_SECONDS)

    def take(self, messages: list[bytes], cuts: Sequence[Cut], peer: str) -> None:
        """Passes a connection's messages on, and stops reading where that fills the intake."""
        self.messages += len(messages)
        self.intake.put(messages, Origin(VIA, self._source, peer))
        for cut in cuts:
            self.cut += 1
            self.intake.record(
                {
                    "action": "syslog.cut",
                    "resource": f"{VIA} {self.address}",
                    "outcome": "failure",
                    "reason": cut.reason,
                    "peer": peer,
                    "kept": cut.kept,
                    "lost": cut.lost,
                }
            )
        if self.intake.full and not self._paused:
            self._paused = True
            self.pauses += 1
            for connection in self.connections:
                connection.pause()

    @property
    def paused(self) -> bool:
        """Whether no connection is read."""
        return self._paused

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            for connection in self.connections:
                connection.resume()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self.clock.monotonic()
            if self._paused:
                continue
            for connection in list(self.connections):
                if now - connection.heard > self._idle_seconds:
                    self.idle += 1
                    connection.transport.close()


class _Connection(asyncio.Protocol):
    """One sender."""

    transport: asyncio.Transport

    def __init__(self, receiver: SyslogTcp) -> None:
        self._receiver = receiver
        self._framer = Framer(MAX_RECORD)
        self._peer = ""
        self.heard = receiver.clock.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        receiver = self._receiver
        if len(receiver.connections) >= receiver.max_connections:
            receiver.refused += 1
            self.transport.abort()
            return
        peer = transport.get_extra_info("peername")
        self._peer = peer_text(peer[:2]) if peer else ""
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        receiver.connections.add(self)
        if receiver.paused:
            # uvloop begins to read after this call, whatever is said during it.
            asyncio.get_running_loop().call_soon(self._pause_too)

    def _pause_too(self) -> None:
        if self._receiver.paused:
            self.pause()

    def pause(self) -> None:
        """Stops reading."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Reads on; the time of the pause was not the sender's."""
        self.heard = self._receiver.clock.monotonic()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        self.heard = receiver.clock.monotonic()
        receiver.bytes += len(data)
        messages = self._framer.feed(data)
        receiver.take(messages, self._framer.take_cuts(), self._peer)

    def connection_lost(self, exc: Exception | None) -> None:
        receiver = self._receiver
        if self in receiver.connections:
            receiver.connections.discard(self)
            if exc is not None:
                _logger.info("syslog over TCP from %s: %s", self._peer, exc)
            messages = self._framer.close()
            receiver.take(messages, self._framer.take_cuts(), self._peer)
