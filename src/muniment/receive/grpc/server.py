"""The gRPC receiver: the OpenTelemetry logs service and Envoy's access log service on one port.

It runs on the node's event loop over the TCP and TLS server that all stream protocols share, so
that connections, silence, client certificates and the PROXY protocol are bounded and judged as
everywhere. Data of a call is kept only once its caller is known and may write.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network, IPv6Network

from muniment.access import Caller, Guard, Scope
from muniment.access.guard import Call as GuardCall
from muniment.budget import Budget
from muniment.clock import Clock
from muniment.errors import AccessDenied, NotFound
from muniment.receive.coding import Coding
from muniment.receive.grpc.call import Bounds, Call, Service
from muniment.receive.grpc.envoy import EnvoyLogs
from muniment.receive.grpc.keeping import Keeper, Tally
from muniment.receive.grpc.otlp import OtlpLogs
from muniment.receive.grpc.session import GrpcSession, Head
from muniment.receive.port import Count
from muniment.receive.sockets import is_local
from muniment.receive.stream import SWEEP_SECONDS, Connection, StreamServer
from muniment.receive.target import Target

NAME = "grpc"
STOP_SECONDS = 15.0
WORKERS = 2
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")

_logger = logging.getLogger(__name__)


class GrpcServer:
    """The receiver on a bound TCP socket.

    `target` finds a log by its name, `log` is the one where a caller is not bound to another;
    `inner` names the parser of the lines in OpenTelemetry's records, `name` begins with `grpc` and
    tells servers apart in the metrics. `buffer` bounds the memory of all messages together,
    `max_message` one of them, also decompressed.
    """

    def __init__(
        self,
        listener: socket.socket,
        target: Callable[[str], Target],
        guard: Guard,
        clock: Clock,
        *,
        node: str,
        log: str,
        inner: str = "",
        name: str = NAME,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        max_connections: int = 1_000,
        idle_seconds: float = 3_600.0,
        max_message: int = 16 << 20,
        buffer: int = 64 << 20,
    ) -> None:
        self.clock = clock
        self.stopping = False
        self.garbage = self.floods = self.denied = self.unknown = 0
        self._guard, self._log, self._name = guard, log, name
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix=NAME)
        self._bounds = Bounds(max_message, Budget(buffer), self._workers)
        self._tallies = {"otlp-grpc": Tally(), "envoy": Tally()}
        otlp, envoy = (Keeper(target, node, clock, tally) for tally in self._tallies.values())
        services: tuple[Service, ...] = (OtlpLogs(otlp, inner), EnvoyLogs(envoy))
        self._services = {service.path: service for service in services}
        self._sessions: set[GrpcSession] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._server = StreamServer(
            listener,
            name,
            self._session,
            clock,
            tls=tls,
            proxies=proxies,
            max_connections=max_connections,
            idle_seconds=idle_seconds,
        )

    @property
    def name(self) -> str:
        """What tells it apart from the others."""
        return self._name

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._server.address

    @property
    def memory(self) -> Budget:
        """What all messages together may take."""
        return self._bounds.memory

    @property
    def counts(self) -> Sequence[Count]:
        """The numbers of the server, and those of each service."""
        name, memory = self._name, self.memory
        port = name.removeprefix(NAME)
        return (
            *self._server.counts,
            Count("receive_garbage", name, "Not HTTP/2.", lambda: self.garbage),
            Count("receive_floods", name, "Sent frames without data.", lambda: self.floods),
            Count("receive_denied", name, "Calls without the right.", lambda: self.denied),
            Count("receive_unknown", name, "Calls of other services.", lambda: self.unknown),
            Count("receive_calls", name, "Calls under way.", lambda: len(self._tasks), True),
            Count("receive_held_bytes", name, "Not durable yet.", lambda: memory.held, True),
            *(
                count
                for kind, tally in self._tallies.items()
                for count in tally.counts(kind + port)
            ),
        )

    async def start(self) -> None:
        """Begins to accept."""
        await self._server.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Makes no new calls, answers those under way, and takes what streams have sent."""
        if self.stopping or not self._server.started:
            await self._server.stop()
            self._workers.shutdown(wait=False)
            return
        self.stopping = True
        await self._server.stop_accepting()
        for session in list(self._sessions):
            session.go_away()
        await self._server.last_words()
        for session in list(self._sessions):
            session.finish()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.sleep(0)
        await self._server.stop()
        self._workers.shutdown(wait=False)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def admit(
        self, head: Head, connection: Connection, consumed: Callable[[int], None]
    ) -> tuple[Service, Call]:
        """Judges the head of a call: its service, its compression, who calls."""
        path = head.get(b":path", b"")
        service = self._services.get(path)
        if service is None:
            self.unknown += 1
            raise NotFound(f"there is no {path[:200].decode('ascii', 'replace')} here")
        encoding = head.get(b"grpc-encoding", b"").decode("latin-1")
        coding = Coding.of(encoding or None)
        try:
            caller = self._caller(head, connection)
            caller.require(Scope.WRITE)
            log = caller.choose_log("", self._log)
        except AccessDenied:
            self.denied += 1
            raise
        return service, Call(path, caller, connection.peer, log, coding, self._bounds, consumed)

    def refused(self, path: bytes) -> None:
        """Counts a call that ended with an error."""
        service = self._services.get(path)
        if service is not None:
            self._tallies[service.name].refused += 1

    def begin(self, task: asyncio.Task[None]) -> None:
        """Keeps a running call until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self, session: GrpcSession) -> None:
        """Forgets a session whose connection is gone."""
        self._sessions.discard(session)

    def _caller(self, head: Head, connection: Connection) -> Caller:
        """Who calls: by a token, else by its certificate, else the user of this machine.

        gRPC has no browser danger: pages cannot send its content type to another origin.
        """
        token = head.get(b"authorization")
        if token is None and connection.sender:
            return Caller(connection.sender, frozenset({Scope.WRITE}))
        host = connection.peer.rpartition(":")[0].strip("[]")
        forwarded = not is_local(host) or any(name in head for name in _FORWARDED)
        authorization = token.decode("latin-1") if token is not None else None
        return self._guard.admit(GuardCall("POST", "localhost", authorization, forwarded=forwarded))

    async def _sweep(self) -> None:
        """Looks after connections on which nothing comes: a message can be begun and left."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for session in list(self._sessions):
                session.look()

    def _session(self, connection: Connection) -> GrpcSession:
        session = GrpcSession(self, connection)
        self._sessions.add(session)
        return session
