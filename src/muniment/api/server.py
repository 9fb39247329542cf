"""The HTTP server: uvicorn over a socket that the node bound, with bounded connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from muniment.api.context import Context
from muniment.api.doors import Door, every_door
from muniment.api.protocol import BoundedProtocol, bounded
from muniment.receive.accept import Acceptor, Client
from muniment.receive.mailbox import Mailbox
from muniment.settings import Network

SWEEP_SECONDS = 1.0
GRACE_SECONDS = 10
CLOSE_SECONDS = 0.5


class HttpServer(uvicorn.Server):
    """Serves an application on one bound socket until `stop`."""

    def __init__(
        self,
        app: ASGIApp,
        context: Context,
        listener: socket.socket,
        tls: ssl.SSLContext | None = None,
        door: Door | None = None,
        proxies: Sequence[Network] = (),
        name: str = "http",
    ) -> None:
        config = uvicorn.Config(
            app,
            http=bounded(context, door or every_door(context)),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=context.limits.keep_alive_seconds,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)
        self._context = context
        self.acceptor = Acceptor(
            listener, self._connect, name, context.clock, tls=tls, proxies=proxies
        )
        self._sweeper: asyncio.Task[None] | None = None

    def _connect(self, client: Client | None) -> asyncio.Protocol:
        protocol = self.config.http_protocol_class
        found: BoundedProtocol = protocol(  # type: ignore[call-arg,assignment]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        found.proxied = client
        return found

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Begins to accept."""
        await self.lifespan.startup()
        mailbox = Mailbox(asyncio.get_running_loop())
        self.config.http_protocol_class.mailbox = mailbox  # type: ignore[attr-defined]
        await self.acceptor.start()
        self.servers = [self.acceptor]  # type: ignore[list-item]
        self._sweeper = asyncio.create_task(self._sweep())
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops accepting, waits for answers that are under way, closes what is left.

        A peer with an idle connection in a pool need not notice that TLS was closed: it is not
        waited for.
        """
        ending = asyncio.create_task(super().shutdown(sockets))
        while not ending.done():
            await asyncio.wait({ending}, timeout=CLOSE_SECONDS)
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol) and connection.idle:
                    connection.transport.abort()
        await ending
        if self._sweeper is not None:
            self._sweeper.cancel()

    def stop(self) -> None:
        """Makes `serve` return once the answers under way are given."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the node."""
        yield

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._context.clock.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.sweep(now)
