"""Accepting connections: PROXY headers from known proxies, TLS, and neither for too long.

The HTTP server and all stream protocols accept here. Where there is neither TLS nor a proxy that
is to be believed, it is the event loop's own server. Else connections are accepted one by one,
because what has to come before a protocol's first byte must be bounded in time and number: a
thousand peers that never finish a handshake cost the others nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address

from muniment.clock import Clock
from muniment.errors import InputError
from muniment.receive import proxy_protocol
from muniment.receive.port import Count
from muniment.receive.proxy_protocol import Client
from muniment.receive.sockets import peer_text

__all__ = ["Acceptor", "Client"]

BACKLOG = 2_048
HANDSHAKE_SECONDS = 10.0
HEADER_SECONDS = 5.0
MAX_PENDING = 256
"""Connections in their handshake or PROXY header. One more ends the one that is there longest."""

TELL_SECONDS = 60.0
EXHAUSTED_SECONDS = 0.5
_ROUND = 64
_logger = logging.getLogger(__name__)


class Acceptor:
    """Accepts on a bound TCP socket; `close` and `wait_closed` are those of asyncio.Server.

    `factory` makes a connection's protocol; its argument is the client that a believed PROXY
    header names, None where the transport's own peer is the client. A peer in `proxies` must send
    a PROXY header; what any other peer sends is never taken as one.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[Client | None], asyncio.Protocol],
        name: str,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        max_pending: int = MAX_PENDING,
        header_seconds: float = HEADER_SECONDS,
        handshake_seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._listener, self._factory, self._name, self._clock = listener, factory, name, clock
        self._tls, self._proxies, self._max_pending = tls, tuple(proxies), max_pending
        self._header_seconds, self._handshake_seconds = header_seconds, handshake_seconds
        self._server: asyncio.Server | None = None
        self._pending: dict[asyncio.Task[None], None] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._accepting = False
        self._told: dict[str, float] = {}
        self.failed_handshakes = self.failed_headers = self.crowded_out = 0

    @property
    def counts(self) -> Sequence[Count]:
        """What ended before a protocol began."""
        name = self._name
        return (
            Count("receive_tls_failed", name, "Handshakes failed.", lambda: self.failed_handshakes),
            Count("receive_proxy_failed", name, "Bad PROXY headers.", lambda: self.failed_headers),
            Count("receive_crowded_out", name, "Ended for newer ones.", lambda: self.crowded_out),
        )

    @property
    def pending(self) -> int:
        """How many connections are in their handshake or PROXY header."""
        return len(self._pending)

    async def start(self) -> None:
        """Begins to accept."""
        loop = asyncio.get_running_loop()
        if self._tls is None and not self._proxies:
            self._server = await loop.create_server(
                lambda: self._factory(None), sock=self._listener, backlog=BACKLOG
            )
            return
        self._listener.listen(BACKLOG)
        self._accepting = True
        loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accepts nothing more, and ends what is in its handshake. May be called again."""
        if self._server is not None:
            self._server.close()
            return
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._listener)
        if self._retry is not None:
            self._retry.cancel()
        for task in self._pending:
            task.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        """Returns when nothing is in its handshake any more."""
        while self._pending:
            await asyncio.wait(list(self._pending))

    def _accept(self) -> None:
        """Accepts what waits, some at a time."""
        for _ in range(_ROUND):
            try:
                accepted, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                self._rest(error)
                return
            accepted.setblocking(False)
            if len(self._pending) >= self._max_pending:
                self._crowd_out()
            task = asyncio.get_running_loop().create_task(self._admit(accepted, peer[:2]))
            self._pending[task] = None
            task.add_done_callback(partial(self._done, accepted))

    def _crowd_out(self) -> None:
        """Ends the connection that has been at its handshake for longest."""
        self.crowded_out += 1
        self._tell("crowded", f"more than {self._max_pending} connections at their handshake")
        task = next(iter(self._pending))
        del self._pending[task]
        task.cancel()

    def _done(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._pending.pop(task, None)
        if task.cancelled():
            accepted.close()

    def _rest(self, error: OSError) -> None:
        """Accepts nothing for a moment: the process has no descriptor left, say."""
        self._tell("exhausted", f"no connection can be accepted: {error}")
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._retry = loop.call_later(EXHAUSTED_SECONDS, self._again)

    def _again(self) -> None:
        if self._accepting:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def _admit(self, accepted: socket.socket, peer: Client) -> None:
        """Brings one connection to where its protocol begins."""
        try:
            client = await self._client(accepted, peer)
            if self._tls is not None:
                await self._handshake_begun(accepted)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._factory(client),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds if self._tls else None,
            )
        except InputError as error:
            self.failed_headers += 1
            self._tell("proxy", f"{peer_text(peer)}: {error.detail}")
            accepted.close()
        except _Gone:
            accepted.close()
        except OSError as error:
            self.failed_handshakes += 1
            self._tell("tls", f"{peer_text(peer)}: the TLS handshake failed: {error}")
            accepted.close()

    async def _client(self, accepted: socket.socket, peer: Client) -> Client | None:
        """Reads the PROXY header of a peer that is believed. Raises InputError and _Gone."""
        if not self._is_proxy(peer[0]):
            return None
        try:
            async with asyncio.timeout(self._header_seconds):
                return await _read_header(accepted)
        except TimeoutError:
            raise InputError(
                f"no PROXY header came within {self._header_seconds:g} seconds"
            ) from None
        except OSError as error:
            raise InputError(f"the connection broke in its PROXY header: {error}") from error

    async def _handshake_begun(self, accepted: socket.socket) -> None:
        """Waits for a first byte: before that, TLS need cost no memory. Raises _Gone."""
        async with asyncio.timeout(self._handshake_seconds):
            if not await _peek(accepted, 1):
                raise _Gone

    def _is_proxy(self, host: str) -> bool:
        if not self._proxies:
            return False
        address = ip_address(host.partition("%")[0])
        return any(address in network for network in self._proxies)

    def _tell(self, kind: str, text: str) -> None:
        """Says it, but not more than once a minute for each kind: the counts say how often."""
        now = self._clock.monotonic()
        if now - self._told.get(kind, -TELL_SECONDS) >= TELL_SECONDS:
            self._told[kind] = now
            _logger.warning("%s: %s", self._name, text)


class _Gone(Exception):
    """A peer came and went without a byte, to see whether somebody listens."""


async def _read_header(accepted: socket.socket) -> Client | None:
    """Reads a PROXY header and not a byte more: what follows may be a TLS handshake."""
    header = b""
    while True:
        seen = await _peek(accepted, proxy_protocol.MAX_V2 - len(header))
        if not seen:
            if not header:
                raise _Gone
            raise InputError("the connection ended inside of its PROXY header")
        size, whole = proxy_protocol.extent(header + seen)
        header += accepted.recv(size - len(header))
        if whole and len(header) == size:
            return proxy_protocol.parse(header)


async def _peek(accepted: socket.socket, size: int) -> bytes:
    """Returns what there is to read, and leaves it there; empty where the peer has closed."""
    loop = asyncio.get_running_loop()
    while True:
        ready = asyncio.Event()
        loop.add_reader(accepted, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(accepted)
        try:
            return accepted.recv(size, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        except ConnectionError:
            return b""
