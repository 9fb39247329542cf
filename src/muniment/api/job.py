"""What the HTTP of a write needs to know of it: a head that is judged, a body that is taken.

`WriteCycle` does the HTTP; the native way of writing (write.py) and the dialects of log protocols
(delivery.py) are the two kinds of jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from muniment.api.problems import defect_response, problem_response
from muniment.budget import Hold
from muniment.errors import MunimentError
from muniment.receive.coding import Coding


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer but for what every answer has. `lines` are header lines with their CRLF."""

    status: int
    lines: bytes
    body: bytes


Settled = Callable[[Any], None]
"""Takes what a job's `answer` makes an answer of, or a MunimentError; from any thread."""


class Job(Protocol):
    """What is to be done with the body of a request whose head was found good.

    One job serves all requests of a connection whose heads are the same, so that it holds nothing
    of a single one.
    """

    @property
    def coding(self) -> Coding:
        """The body's content coding."""

    @property
    def inline_bytes(self) -> int:
        """Bodies up to this are taken on the event loop: a hop to a thread would cost more."""

    def submit(self, body: bytes, hold: Hold, done: Settled) -> None:
        """Takes the body, still coded, and queues its entries; `done` is called once, later or now.

        Called on the event loop or on a worker's thread. Raises MunimentError.
        """

    def answer(self, result: Any) -> Answer:
        """Returns the answer to what `done` was called with; on the event loop."""


class Head(Protocol):
    """The head of a request that may be repeated on its connection."""

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""

    def job(self) -> Job:
        """Judges the head, again for each request: tokens can be revoked. Raises MunimentError."""

    def refused(self, error: MunimentError) -> Answer:
        """Returns the answer to what was refused."""


def problem_answer(error: Exception) -> Answer:
    """Returns an error as problem details; what is no MunimentError is a defect of ours."""
    found = problem_response(error) if isinstance(error, MunimentError) else defect_response()
    headers = [pair for pair in found.raw_headers if pair[0] != b"content-length"]
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return Answer(found.status_code, lines, bytes(found.body))
