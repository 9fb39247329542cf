"""A listener of its own for one log protocol over HTTP, or for all of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from muniment.api.context import Context
from muniment.api.doors import Door
from muniment.api.gate import Gate
from muniment.api.probes import PROBES, Probes
from muniment.api.problems import plain_problem
from muniment.api.server import HttpServer
from muniment.receive.port import Count
from muniment.receive.sockets import bound_address
from muniment.settings import Network


class BoundServer:
    """An HTTP server on a bound socket of its own, started and stopped as a Receiver is."""

    def __init__(self, listener: socket.socket, name: str, server: HttpServer) -> None:
        self.name = name
        self._socket, self._server = listener, server
        self._address = str(bound_address(listener))
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._address

    async def start(self) -> None:
        """Begins to take requests."""
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Answers what is under way, and ends."""
        if self._serving is None:
            self._socket.close()
            return
        self._server.stop()
        await self._serving


class HttpListener(BoundServer):
    """A Receiver: what comes through `door` and nothing else, on a bound socket."""

    def __init__(
        self,
        listener: socket.socket,
        name: str,
        context: Context,
        door: Door,
        *,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[Network] = (),
    ) -> None:
        app = _app(context, door)
        server = HttpServer(app, context, listener, tls, door, proxies, name)
        super().__init__(listener, name, server)

    @property
    def counts(self) -> Sequence[Count]:
        """Its own numbers; what protocols receive over HTTP is counted in one place for all."""
        return self._server.acceptor.counts


def _app(context: Context, door: Door) -> ASGIApp:
    probes = [probe for probe in PROBES if probe.dialect in door.dialects]
    app = Probes(_nothing_else, context, door.guard, probes, lambda _scope: False)
    return Gate(app, door.guard, context.meters)


async def _nothing_else(scope: Scope, receive: Receive, send: Send) -> None:
    detail = f"there is nothing at {scope['path']} on this listener"
    await plain_problem(404, detail)(scope, receive, send)
