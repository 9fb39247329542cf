"""A node's HTTP face over a real shard: in process, and behind a real server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import uvloop
from api_parts import FailingShard, ScriptedQuery, Serve, Served, make_context, open_shard

from muniment.api import Context, Limits, build_app
from muniment.api.server import HttpServer
from muniment.receive.sockets import bind
from muniment.settings import Address


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[FailingShard]:
    """The only shard of the log `default`."""
    found = open_shard(tmp_path)
    yield FailingShard(found)
    found.close()


@pytest.fixture
def query() -> ScriptedQuery:
    return ScriptedQuery()


@pytest.fixture
def serve(tmp_path: Path, shard: FailingShard, query: ScriptedQuery) -> Iterator[Serve]:
    """Starts a server with these limits in a thread of its own."""
    with ExitStack() as stack:

        def start(
            required: bool = False,
            tls: ssl.SSLContext | None = None,
            edges: frozenset[str] = frozenset(),
            writers: frozenset[str] = frozenset(),
            **limits: float,
        ) -> Served:
            context = make_context(
                tmp_path,
                {"default": shard},
                limits=Limits(**limits),  # type: ignore[arg-type]
                required=required,
                query=query,
                edges=edges,
                writers=writers,
            )
            listener = bind(Address("127.0.0.1", 0), socket.SOCK_STREAM)
            port = listener.getsockname()[1]
            server = HttpServer(build_app(context), context, listener, tls)
            loops: list[asyncio.AbstractEventLoop] = []

            async def run() -> None:
                loops.append(asyncio.get_running_loop())
                await server.serve()

            thread = threading.Thread(target=uvloop.run, args=(run(),))
            thread.start()
            while not server.started and thread.is_alive():
                thread.join(0.01)

            served = Served(context, port, server, loops[0])

            def stop() -> None:
                if thread.is_alive():
                    served.stop()
                thread.join(60)
                assert not thread.is_alive()

            stack.callback(stop)
            return served

        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """A server with the usual limits."""
    return serve()


@pytest.fixture
def context(served: Served) -> Context:
    return served.context


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """Calls the server as the local user."""
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as found:
        yield found
