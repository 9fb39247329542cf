"""The HTTP of a write: a request's body in, one answer out, without a task or an ASGI message.

It stands where uvicorn's protocol expects a RequestResponseCycle, and has the attributes that the
protocol looks at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from muniment.api.context import Context
from muniment.api.gate import API_HEADERS
from muniment.api.job import Answer, Head, Job, Settled, problem_answer
from muniment.api.receiving import check_size, length_required
from muniment.budget import Hold
from muniment.errors import MunimentError
from muniment.receive.coding import Coding
from muniment.receive.mailbox import Mailbox

NO_CONTENT = 204
"""Has no Content-Length (RFC 9110, 8.6)."""

SMALL_BYTES = 16 << 10
"""A piece of a body under this costs more as an object than as bytes."""

_LENGTH = b"content-length: %d\r\n\r\n"
_logger = logging.getLogger(__name__)


class Connection(Protocol):
    """What a write needs of its connection; `BoundedProtocol` is one."""

    context: Context
    mailbox: Mailbox
    transport: asyncio.Transport
    flow: FlowControl
    server_state: ServerState

    def on_response_complete(self) -> None: ...


class WriteCycle:
    """One write. `start` once it is this request's turn to be answered.

    `length` is the Content-Length, None for a body in chunks.
    """

    def __init__(
        self,
        connection: Connection,
        head: Head,
        length: int | None,
        *,
        expect_continue: bool = False,
        keep_alive: bool = True,
    ) -> None:
        self.head = head
        self.response_started = self.response_complete = self.disconnected = False
        self.more_body = True
        self.keep_alive = keep_alive
        self._connection, self._length = connection, length
        self._expect_continue = expect_continue
        self._started = self._submitted = False
        self._pieces: list[bytes | bytearray] = []
        self._received = 0
        self._hold = Hold(connection.context.budget)
        self._job: Job | None = None

    def start(self) -> None:
        """Judges the head; a body that has come already is taken."""
        self._started = True
        self._guarded(self._begin)

    def take(self, piece: bytes) -> None:
        """Takes a piece of the body; small ones share one buffer."""
        self._received += len(piece)
        if len(piece) >= SMALL_BYTES or not self._pieces:
            self._pieces.append(piece)
        elif isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))
        if self._length is None and self._started:
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
        self._job = self.head.job()
        if self._length is not None:
            check_size(self._length, self._connection.context.limits.body)
            if self.more_body:  # what has come whole is held as it is packed
                self._hold.grow_to(self._length)
        elif self.head.chunked:
            self._account()
        else:
            raise length_required()
        if not self.more_body:
            self._submit()
        elif self._expect_continue:
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _account(self) -> None:
        if not self.response_complete:
            check_size(self._received, self._connection.context.limits.body)
            self._hold.grow_to(self._received)

    def _submit(self) -> None:
        assert self._job is not None
        body = b"".join(self._pieces)  # of one piece, this is that piece
        self._pieces = []
        self._submitted = True
        if self._job.coding is Coding.IDENTITY and len(body) <= self._job.inline_bytes:
            self._job.submit(body, self._hold, self._done())
        else:
            self._connection.context.workers.submit(self._submit_apart, self._job, body)

    def _submit_apart(self, job: Job, body: bytes) -> None:
        """The same on a worker's thread."""
        try:
            job.submit(body, self._hold, self._done())
        except Exception as error:
            self._connection.mailbox.post(self._refuse, error)

    def _done(self) -> Settled:
        """What the shard's thread calls with the result."""
        return partial(self._connection.mailbox.post, self._settle)

    def _settle(self, result: Any) -> None:
        if isinstance(result, MunimentError):
            self._refuse(result)
        else:
            assert self._job is not None
            self._respond(self._job.answer(result))

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, MunimentError):
            self._respond(self.head.refused(error))
        else:
            _logger.error("a defect on the write path", exc_info=error)
            self._respond(problem_answer(error))

    def _respond(self, given: Answer) -> None:
        self._let_go()
        if self.disconnected or self._connection.transport.is_closing():
            return
        self._connection.context.meters.requests["POST", given.status] += 1
        self.response_started = True
        answer = (
            STATUS_LINE[given.status],
            _common(tuple(self._connection.server_state.default_headers)),
            given.lines,
            API_HEADERS,
            b"" if self.keep_alive else b"connection: close\r\n",
            b"\r\n" if given.status == NO_CONTENT else _LENGTH % len(given.body),
            given.body,
        )
        self._connection.transport.write(b"".join(answer))
        if self._connection.flow.write_paused:
            self._draining = asyncio.ensure_future(self._drain())
        else:
            self._finish()

    async def _drain(self) -> None:
        """A client that does not read its answers gets no further ones."""
        await self._connection.flow.drain()
        self._finish()

    def _finish(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_response_complete()

    def _let_go(self) -> None:
        self._pieces = []
        self._hold.shrink_to(0)


@lru_cache(maxsize=2)
def _common(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The server's own headers; they change once a second, with the date."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])
