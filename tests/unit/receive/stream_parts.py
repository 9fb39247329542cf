"""What the tests of stream servers stand on: both event loops, listeners, an echo."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvloop

from muniment.receive.stream import Connection


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs a scenario on both event loops: the standard one, and the one that serves."""
    asyncio.run(scenario())  # type: ignore[arg-type]
    uvloop.run(scenario())  # type: ignore[arg-type]


def listener() -> socket.socket:
    """A bound socket on a free port."""
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    found.setblocking(False)
    return found


class Echo:
    """A session that says what it heard; `boom` makes it fail, `bye` makes it close."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.heard = b""
        self.ended = 0

    def feed(self, data: bytes) -> None:
        self.heard += data
        if b"boom" in data:
            raise RuntimeError("a fault of the session")
        self.connection.write(data)
        if b"bye" in data:
            self.connection.close()

    def end(self) -> None:
        self.ended += 1
        self.connection.write(b"to nobody")
