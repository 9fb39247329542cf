"""HTTP/1.1 connections within bounds: their number, long heads, slow bodies, deaf readers.

uvicorn's protocol bounds none of these; this one counts what arrives and a sweep once a second
closes what is over. That costs a request nothing but a few assignments. Writes are answered by a
`WriteCycle` instead of the ASGI application: what frameworks do for each request costs more than
packing an entry and making it durable.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from muniment.api.context import Context
from muniment.api.doors import Door
from muniment.api.framing import check_framing
from muniment.api.identity import Identity
from muniment.api.job import Answer, Head, problem_answer
from muniment.api.problems import HeadTooLarge, TooSlow
from muniment.api.repeated_head import RepeatedHead
from muniment.api.write_cycle import WriteCycle
from muniment.errors import InputError, MunimentError, Overloaded
from muniment.receive.accept import Client
from muniment.receive.mailbox import Mailbox

MAX_HEAD_BYTES = 64 << 10
MAX_SILENT_BYTES = 64 << 10
"""Of chunk extensions, trailers and the like, between two pieces of a body."""

MAX_PIPELINE = 64
DRAIN_BYTES = 64 << 20
"""Of a body that was answered early: a client that does not listen yet may send so much more."""

DRAIN_SECONDS = 10.0
WRITE_SECONDS = 60.0


class Phase(Enum):
    """What a connection waits for."""

    OPEN = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    IDLE = auto()


_ANSWERED = (Phase.ANSWER, Phase.IDLE)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded` makes the class that uvicorn instantiates.

    `proxied` is the client's address where a trusted proxy names it.
    """

    context: Context
    door: Door
    mailbox: Mailbox
    cycle: Any  # a RequestResponseCycle or a WriteCycle
    scope: Any

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.limits, self.meters = self.context.limits, self.context.meters
        self.monotonic = self.context.clock.monotonic
        self._phase = Phase.OPEN
        self._since = self.monotonic()
        self._bytes = 0
        self._silent = 0
        self._deaf_since: float | None = None
        self._refused = False
        self._repeated: RepeatedHead | None = None
        self.proxied: Client | None = None
        self._identity = Identity()
        self._complaint: MunimentError | None = None

    @property
    def idle(self) -> bool:
        """Whether no answer is under way."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection, or refuses it when there are too many."""
        super().connection_made(transport)
        self.client = self.proxied or self.client
        found = transport.get_extra_info("ssl_object")
        self._identity = Identity.of(found, self.context, self.door)
        self.meters.connections += 1
        if len(self.connections) > (self.door.connections or self.limits.connections):
            self.meters.refused_connections += 1
            self._refuse(Overloaded("too many connections are open", retry_after=2))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        super().connection_lost(exc)
        self.meters.connections -= 1

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, and counts what it swallows without a word."""
        if self._refused:
            return
        between = self._phase in (Phase.OPEN, Phase.IDLE)
        if between and self._repeated is not None:
            body = self._repeated.body(data)
            if body is not None:
                self._write_again(self._repeated.head, body)
                return
        self._bytes += len(data)
        self._silent += len(data)
        super().data_received(data)
        if between and isinstance(self.cycle, WriteCycle) and not self.cycle.more_body:
            self._repeated = RepeatedHead.of(data, self.cycle.head)
        if self._phase not in _ANSWERED and self._silent > MAX_SILENT_BYTES:
            self._refuse(HeadTooLarge(f"more than {MAX_HEAD_BYTES:,} bytes of headers"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._enter(Phase.HEAD)
        if len(self.pipeline) > MAX_PIPELINE:
            raise ValueError("too many requests in the pipeline")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header; trailers behind a body are dropped (RFC 9110, 6.5.1)."""
        if self._phase is Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; the body begins."""
        try:
            check_framing(self.parser.get_http_version(), self.headers)
            self._identity.tell(self.scope, self.headers)
        except InputError as error:
            self._complaint = error
            raise  # what follows is not parsed any more
        self._enter(Phase.BODY)
        head = self._write_head()
        if head is None:
            super().on_headers_complete()
            return
        lengths = [int(value) for name, value in self.headers if name == b"content-length"]
        before = self.cycle
        self.cycle = WriteCycle(
            self,
            head,
            lengths[0] if lengths else None,
            expect_continue=self.expect_100_continue,
            keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive(),
        )
        if before is None or before.response_complete:
            self.cycle.start()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _write_head(self) -> Head | None:
        """Returns the head of this request where it is a write."""
        method = self.parser.get_method()
        if method not in (b"POST", b"PUT"):
            return None
        url = httptools.parse_url(self.url)
        path = unquote(url.path.decode("ascii"))
        scope = {**self.scope, "method": method.decode(), "query_string": url.query or b""}
        return self.door.head(self.context, path, scope)

    def _write_again(self, head: Head, body: bytes) -> None:
        """Takes a whole write whose head has been parsed before."""
        self._enter(Phase.ANSWER)
        self.cycle = WriteCycle(self, head, len(body))
        self.cycle.take(body)
        self.cycle.complete()
        self.cycle.start()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Starts what answers a request: a task for the application, or a write."""
        if isinstance(cycle, WriteCycle):
            cycle.start()
        else:
            super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Takes a piece of the body; what was answered already is dropped."""
        self._silent = 0
        if not isinstance(self.cycle, WriteCycle):
            super().on_body(body)
        elif not self.cycle.response_complete:
            self.cycle.take(body)
        if self.cycle.response_complete and self._bytes > DRAIN_BYTES:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._enter(Phase.ANSWER)
        if isinstance(self.cycle, WriteCycle):
            self.cycle.complete()
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Ends a connection whose client was told not to send the body that it announced.

        Otherwise the next request's turn comes, or the connection is idle until the sweep
        (uvicorn's own timer for that costs as much as parsing a head).
        """
        if self._phase is Phase.BODY and self.expect_100_continue and not self._bytes:
            self.transport.close()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase is Phase.ANSWER:
            self._enter(Phase.IDLE)

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._deaf_since = self.monotonic()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._deaf_since = None

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, or not such as is taken."""
        if not self._refused:
            self._refuse(self._complaint or InputError(msg))

    def _should_upgrade(self) -> bool:
        """No other protocol is spoken here; asking for one is not worth a line in the log."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        return

    def _enter(self, phase: Phase) -> None:
        self._phase, self._since, self._bytes, self._silent = phase, self.monotonic(), 0, 0

    def sweep(self, now: float) -> None:
        """Closes the connection where it is over a bound of time or rate."""
        waited = now - self._since
        if self._deaf_since is None and self.transport.is_closing():
            self._deaf_since = now  # closed here, and the last of the answers is not read
        if self._deaf_since is not None and now - self._deaf_since > WRITE_SECONDS:
            self.meters.slow_connections += 1
            self.transport.abort()
        elif self._phase is Phase.OPEN and waited > self.limits.header_seconds:
            self.meters.slow_connections += 1
            self.transport.close()
        elif self._phase is Phase.IDLE and waited > self.limits.keep_alive_seconds:
            self.transport.close()
        elif self._phase is Phase.HEAD and waited > self.limits.header_seconds:
            self._too_slow("the head of the request did not arrive in time")
        elif self._phase is Phase.BODY:
            self._sweep_body(waited)

    def _sweep_body(self, waited: float) -> None:
        cycle = self.cycle
        if cycle is not None and cycle.response_complete:
            if waited > self.limits.body_seconds + DRAIN_SECONDS:
                self.transport.abort()
        elif not self.flow.read_paused:
            allowed = self.limits.body_seconds + self._bytes / self.limits.body_rate
            if waited > allowed:
                self._too_slow(
                    f"the body came slower than {self.limits.body_rate:,} bytes a second"
                )

    def _too_slow(self, detail: str) -> None:
        self.meters.slow_connections += 1
        self._refuse(TooSlow(detail))

    def _refuse(self, error: MunimentError) -> None:
        """Answers with a problem where an answer is due and has not begun, and closes."""
        self._refused = True
        if self.transport.is_closing():
            return
        cycle = self.cycle
        busy = cycle is not None and not cycle.response_complete
        of_this_request = self._phase is Phase.BODY and not self.pipeline
        if busy and of_this_request and isinstance(cycle, WriteCycle):
            self.transport.write(_raw(cycle.head.refused(error)))
        elif not busy or (of_this_request and not cycle.response_started):
            self.transport.write(_raw(problem_answer(error)))
        if busy:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


def _raw(answer: Answer) -> bytes:
    """Returns the last response of a connection whole, without a cycle or an application."""
    length = b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(answer.body)
    return STATUS_LINE[answer.status] + answer.lines + length + answer.body


def bounded(context: Context, door: Door) -> type[BoundedProtocol]:
    """Returns the protocol class of a server; whoever starts it sets its `mailbox`."""
    return type("Bounded", (BoundedProtocol,), {"context": context, "door": door})
