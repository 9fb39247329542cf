"""A listener for probes alone: is the process alive, should anything be sent to it.

The kubelet and simple load balancers show no client certificate, which HTTPS may require. Here
they ask in plain HTTP, and learn one word: no log, no shard, no size.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from muniment.api.context import Context
from muniment.api.doors import Door
from muniment.api.health import why_not_ready
from muniment.api.listener import BoundServer
from muniment.api.problems import plain_problem
from muniment.api.server import HttpServer
from muniment.receive.port import Count

NAME = "probes"
MAX_CONNECTIONS = 100


class ProbeListener(BoundServer):
    """A Receiver of nothing: `GET` and `HEAD` of `/healthz` and `/readyz` on a bound socket."""

    def __init__(self, listener: socket.socket, context: Context) -> None:
        self._context = context
        door = Door(context.guard, (), "", native=False, connections=MAX_CONNECTIONS)
        server = HttpServer(self._answer, context, listener, door=door, name=NAME)
        super().__init__(listener, NAME, server)

    @property
    def counts(self) -> Sequence[Count]:
        """None: that it was asked is nothing to count."""
        return ()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response(scope["method"], scope["path"])
        await response(scope, receive, send)

    def _response(self, method: str, path: str) -> Response:
        if path not in ("/healthz", "/readyz"):
            return plain_problem(404, "there are /healthz and /readyz on this listener, no more")
        if method not in ("GET", "HEAD"):
            return plain_problem(405, f"{path} does not take {method[:20]}", {"allow": "GET, HEAD"})
        status, word, headers = 200, "ok", {"cache-control": "no-store"}
        refused = why_not_ready(self._context) if path == "/readyz" else None
        if refused is not None:
            status, word = 503, "not ready"
            headers["retry-after"] = str(refused.retry_after)
        return Response(f'{{"status":"{word}"}}', status, headers, "application/json")
