"""The HTTP of a write: a request's body in, one answer out, without a task or an ASGI message.

It stands where uvicorn's protocol expects a RequestResponseCycle, and has the attributes that the
protocol looks at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from muniment.access import Caller
from muniment.api.bodies import Coding
from muniment.api.budget import Hold
from muniment.api.context import Context
from muniment.api.gate import API_HEADERS, call_of
from muniment.api.problems import defect_response, problem_response
from muniment.api.receiving import check_size, declared_length
from muniment.api.write import Write, created
from muniment.errors import MunimentError
from muniment.log import Acknowledgement
from muniment.receive.mailbox import Mailbox

INLINE_BYTES = 32 << 10
"""Bodies up to this are packed on the event loop: a hop to a thread would cost more."""

Headers = Sequence[tuple[bytes, bytes]]
_logger = logging.getLogger(__name__)


class WriteCycle:
    """One write. `start` once it is this request's turn to be answered."""

    def __init__(
        self,
        context: Context,
        log: str,
        scope: Scope,
        transport: asyncio.Transport,
        flow: FlowControl,
        mailbox: Mailbox,
        default_headers: Headers,
        *,
        expect_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        self.response_started = self.response_complete = self.disconnected = False
        self.more_body = True
        self.keep_alive = keep_alive
        self._context, self._log, self._scope = context, log, scope
        self._transport, self._flow, self._mailbox = transport, flow, mailbox
        self._default_headers, self._on_response = default_headers, on_response
        self._expect_continue = expect_continue
        self._started = self._submitted = False
        self._pieces: list[bytes] = []
        self._received = 0
        self._hold = Hold(context.budget)
        self._write: Write | None = None

    def start(self) -> None:
        """Judges the head; a body that has come already is taken."""
        self._started = True
        self._guarded(self._begin)

    def take(self, piece: bytes) -> None:
        """Takes a piece of the body."""
        self._pieces.append(piece)
        self._received += len(piece)
        if self._started:
            self._guarded(self._account)

    def complete(self) -> None:
        """The body is whole."""
        self.more_body = False
        if self._started and not self.response_complete:
            self._guarded(self._submit)

    @property
    def message_event(self) -> WriteCycle:
        """What the protocol sets when the connection is gone."""
        return self

    def set(self) -> None:
        """Lets go of a body that will not be whole any more."""
        if self.disconnected and not self._submitted:
            self._let_go()

    def _begin(self) -> None:
        caller: Caller = self._context.guard.admit(call_of(self._scope))
        self._write = Write.of(self._context, self._log, self._scope, caller)
        length = declared_length(self._scope)
        if length is not None:
            check_size(length, self._context.limits.body)
            self._hold.grow_to(length)
        self._account()
        if not self.more_body:
            self._submit()
        elif self._expect_continue:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _account(self) -> None:
        if not self.response_complete:
            check_size(self._received, self._context.limits.body)
            self._hold.grow_to(self._received)

    def _submit(self) -> None:
        assert self._write is not None
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        self._submitted = True
        submit = partial(self._write.submit, body, self._hold, self._done)
        if self._write.coding is Coding.IDENTITY and len(body) <= INLINE_BYTES:
            submit()
        else:
            self._context.workers.submit(self._submit_apart, submit)

    def _submit_apart(self, submit: Callable[[], None]) -> None:
        """The same on a worker's thread."""
        try:
            submit()
        except Exception as error:
            self._mailbox.post(self._refuse, error)

    def _done(self, result: Acknowledgement | MunimentError) -> None:
        """Called on the shard's thread."""
        self._mailbox.post(self._settle, result)

    def _settle(self, result: Acknowledgement | MunimentError) -> None:
        if isinstance(result, MunimentError):
            self._refuse(result)
            return
        self._context.meters.entries += 0 if result.replayed else result.count
        self._context.meters.replayed += result.replayed
        headers, body = created(result)
        self._respond(201, headers, body)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, MunimentError):
            response = problem_response(error)
        else:
            _logger.error("a defect on the write path", exc_info=error)
            response = defect_response()
        self._respond(response.status_code, _without_length(response), bytes(response.body))

    def _respond(self, status: int, headers: Headers, body: bytes) -> None:
        self._let_go()
        if self.disconnected or self._transport.is_closing():
            return
        self._context.meters.requests["POST", status] += 1
        self.response_started = True
        lines = [STATUS_LINE[status]]
        for name, value in (*self._default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines.append(API_HEADERS)
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        lines.append(body)
        self._transport.write(b"".join(lines))
        if self._flow.write_paused:
            self._draining = asyncio.ensure_future(self._drain())
        else:
            self._finish()

    async def _drain(self) -> None:
        """A client that does not read its answers gets no further ones."""
        await self._flow.drain()
        self._finish()

    def _finish(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self._transport.close()
        self._on_response()

    def _let_go(self) -> None:
        self._pieces = []
        self._hold.shrink_to(0)


def _without_length(response: Response) -> Headers:
    return [pair for pair in response.raw_headers if pair[0] != b"content-length"]
