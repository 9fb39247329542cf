"""HTTP/1.1 connections within bounds: their number, long heads, slow bodies, deaf readers.

uvicorn's protocol bounds none of these; this one counts what arrives and a sweep once a second
closes what is over. That costs a request nothing but a few assignments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from muniment.api.context import Limits
from muniment.api.meters import Meters
from muniment.api.problems import MEDIA_TYPE, HeadTooLarge, TooSlow, headers_for, problem
from muniment.errors import InputError, MunimentError, Overloaded

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


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded` makes the class that uvicorn instantiates."""

    limits: Limits
    meters: Meters
    monotonic: Callable[[], float]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._phase = Phase.OPEN
        self._since = self.monotonic()
        self._bytes = 0
        self._silent = 0
        self._deaf_since: float | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection, or refuses it when there are too many."""
        super().connection_made(transport)
        self.meters.connections = len(self.connections)
        if len(self.connections) > self.limits.connections:
            self.meters.refused_connections += 1
            self._refuse(Overloaded("too many connections are open", retry_after=2))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        super().connection_lost(exc)
        self.meters.connections = len(self.connections)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, and counts what it swallows without a word."""
        if self._refused:
            return
        self._bytes += len(data)
        self._silent += len(data)
        super().data_received(data)
        if self._phase is not Phase.ANSWER and self._silent > MAX_SILENT_BYTES:
            self._refuse(HeadTooLarge(f"more than {MAX_HEAD_BYTES:,} bytes of headers"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._enter(Phase.HEAD)
        if len(self.pipeline) > MAX_PIPELINE:
            raise ValueError("too many requests in the pipeline")

    def on_headers_complete(self) -> None:
        """The head is whole; the body begins."""
        self._enter(Phase.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a piece of the body; what was answered already is dropped."""
        self._silent = 0
        super().on_body(body)
        if self.cycle.response_complete and self._bytes > DRAIN_BYTES:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._enter(Phase.ANSWER)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Ends a connection whose client was told not to send the body that it announced."""
        if self._phase is Phase.BODY and self.expect_100_continue and not self._bytes:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._deaf_since = self.monotonic()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._deaf_since = None

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP."""
        if not self._refused:
            self._refuse(InputError(msg))

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
        if self._deaf_since is not None and now - self._deaf_since > WRITE_SECONDS:
            self.meters.slow_connections += 1
            self.transport.abort()
        elif self._phase is Phase.OPEN and waited > self.limits.header_seconds:
            self.meters.slow_connections += 1
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
        if not busy or (of_this_request and not cycle.response_started):
            self.transport.write(_raw(error))
        if busy:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


def _raw(error: MunimentError) -> bytes:
    """Returns a whole response for an error that no application sees."""
    body = orjson.dumps(problem(error))
    headers = {
        **headers_for(error),
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return STATUS_LINE[error.status] + "".join(lines).encode() + b"\r\n" + body


def bounded(
    limits: Limits, meters: Meters, monotonic: Callable[[], float]
) -> type[BoundedProtocol]:
    """Returns the protocol class of a server with these bounds."""
    members = {"limits": limits, "meters": meters, "monotonic": staticmethod(monotonic)}
    return type("Bounded", (BoundedProtocol,), members)
