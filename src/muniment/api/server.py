"""The HTTP server: uvicorn over a socket that the node bound, with bounded connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from muniment.api.context import Context
from muniment.api.protocol import BoundedProtocol, bounded
from muniment.errors import SettingsError
from muniment.receive.mailbox import Mailbox

SWEEP_SECONDS = 1.0
HANDSHAKE_SECONDS = 10.0
BACKLOG = 2_048
GRACE_SECONDS = 10


class HttpServer(uvicorn.Server):
    """Serves an application on one bound socket until `stop`."""

    def __init__(
        self,
        app: ASGIApp,
        context: Context,
        listener: socket.socket,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=bounded(context),
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
        self._listener, self._tls, self._context = listener, tls, context
        self._sweeper: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Begins to accept. TLS handshakes have a time limit, which uvicorn's own do not."""
        config = self.config
        protocol = config.http_protocol_class

        def connect() -> asyncio.Protocol:
            return protocol(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )

        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        protocol.mailbox = Mailbox(loop)  # type: ignore[attr-defined]
        server = await loop.create_server(
            connect,
            sock=self._listener,
            ssl=self._tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
            backlog=BACKLOG,
        )
        self.servers = [server]
        self._sweeper = asyncio.create_task(self._sweep())
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops accepting, waits for answers that are under way, closes what is left."""
        await super().shutdown(sockets)
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


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Returns a server's TLS context: 1.2 and up. Raises SettingsError naming what is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except FileNotFoundError as error:
        missing = [str(path) for path in (certificate, key) if not path.is_file()]
        raise SettingsError(f"there is no file {' nor '.join(missing)}") from error
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"{certificate} and {key} cannot be used for TLS: {error}") from error
    return context
