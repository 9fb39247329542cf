"""One accepted connection, and the session that speaks its protocol. See stream.py."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from muniment.clock import Clock
from muniment.receive.accept import Client
from muniment.receive.sockets import peer_text
from muniment.receive.tls import certificate_name

_logger = logging.getLogger(__name__)


class Session(Protocol):
    """One connection's protocol. Called on the event loop only."""

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come, in any pieces. Never raises for bad bytes."""

    def end(self) -> None:
        """The connection is gone, whoever closed it. Called once; nothing can be written."""


class Server(Protocol):
    """What a connection needs of its server: see StreamServer."""

    name: str
    clock: Clock
    session: Callable[[Connection], Session]
    connections: set[Connection]
    held: bool
    bytes: int

    def admit(self, connection: Connection) -> bool:
        """Counts a connection in; False where there are too many."""


class Connection(asyncio.Protocol):
    """One accepted connection.

    `peer` is `ip:port`, that of the client where a trusted proxy names it; `sender` is
    `cert:<name>` of a verified client certificate, or empty.
    """

    peer = ""
    sender = ""
    transport: asyncio.Transport

    def __init__(self, server: Server, client: Client | None) -> None:
        self._server, self._client = server, client
        self._session: Session | None = None
        self._held = self._closed = self._paused = False
        self.deaf_since: float | None = None
        self.heard = server.clock.monotonic()

    def write(self, data: bytes) -> None:
        """Sends bytes; nothing happens once the connection is closed.

        While the peer does not take what was written, no more is read from it.
        """
        if not self._closed and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Closes once what was written is sent; what still arrives is not fed to the session."""
        if not self._closed:
            self._closed = True
            self.heard = self._server.clock.monotonic()
            self.transport.close()

    def abort(self) -> None:
        """Closes at once."""
        self._closed = True
        self.transport.abort()

    def farewell(self) -> None:
        """Ends what is written, and reads on: a peer that looks sees that it should go elsewhere.

        For protocols that do not answer. Nothing can be written afterwards.
        """
        found = self.transport.get_extra_info("socket")
        if found is not None and not self._closed:
            with suppress(OSError), found.dup() as twin:
                twin.shutdown(socket.SHUT_WR)

    def hold(self) -> None:
        """Reads nothing more until `release`: the kernel's buffers fill, and the peer waits."""
        self._held = True
        self.settle()

    def release(self) -> None:
        """Reads on."""
        self._held = False
        self.settle()

    @property
    def closing(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self._closed

    @property
    def waits(self) -> bool:
        """Whether it is not read at the moment; silence is then not the sender's."""
        return self._held or self._server.held or self.deaf_since is not None

    def settle(self) -> None:
        """Reads, or does not, as all reasons together say; a pause was not the sender's silence."""
        waits = self.waits
        if waits is self._paused or self._closed or self.transport.is_closing():
            return
        self._paused = waits
        if waits:
            self.transport.pause_reading()
        else:
            self.heard = self._server.clock.monotonic()
            self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Makes the session, or refuses the connection where there are too many."""
        self.transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            self._closed = True
            self.transport.abort()
            return
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = self._client or transport.get_extra_info("peername")
        self.peer = peer_text(peer[:2]) if peer else ""
        name = certificate_name(transport.get_extra_info("ssl_object"))
        self.sender = f"cert:{name}" if name else ""
        self._session = self._server.session(self)
        # uvloop begins to read after this call, whatever is said during it.
        asyncio.get_running_loop().call_soon(self.settle)

    def data_received(self, data: bytes) -> None:
        """Feeds the session. One that fails costs its own connection only."""
        if self._closed or self._session is None:
            return
        self.heard = self._server.clock.monotonic()
        self._server.bytes += len(data)
        try:
            self._session.feed(data)
        except Exception:
            _logger.exception("%s: the connection of %s failed", self._server.name, self.peer)
            self.abort()

    def pause_writing(self) -> None:
        """The peer does not read."""
        self.deaf_since = self._server.clock.monotonic()
        self.settle()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.deaf_since = None
        self.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the session."""
        self._closed = True
        self._server.connections.discard(self)
        session, self._session = self._session, None
        if session is None:
            return
        if exc is not None:
            _logger.info("%s: %s: %s", self._server.name, self.peer, exc)
        try:
            session.end()
        except Exception:
            _logger.exception("%s: the end of %s failed", self._server.name, self.peer)
