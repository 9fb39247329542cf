"""The heartbeat of the forward protocol over UDP: a datagram is answered with one zero byte.

An answer is never longer than what it answers, so that a forged sender gains nothing, and there is
a bound on answers a second.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from muniment.clock import Clock

ANSWER = b"\0"
MOST_A_SECOND = 1_000


class Heartbeat(asyncio.DatagramProtocol):
    """Answers on a bound UDP socket."""

    transport: asyncio.DatagramTransport | None = None

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second, self._answers = clock.monotonic(), 0
        self.answered = self.ignored = 0

    async def start(self, found: socket.socket) -> None:
        """Begins to answer."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=found)

    def stop(self) -> None:
        """Closes the socket."""
        if self.transport is not None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answers a client, unless there are too many."""
        now = self._clock.monotonic()
        if now - self._second >= 1.0:
            self._second, self._answers = now, 0
        if not data or self._answers >= MOST_A_SECOND or self.transport is None:
            self.ignored += 1
            return
        self._answers += 1
        self.answered += 1
        self.transport.sendto(ANSWER, addr)

    def error_received(self, exc: Exception) -> None:
        """A client that is not there any more; nothing of ours."""
