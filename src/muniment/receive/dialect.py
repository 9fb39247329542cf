"""A dialect: what a log protocol over HTTP says in its own words, apart from HTTP itself.

A dialect knows paths, bodies and answers. It does no I/O, knows neither sockets nor shards, and
holds nothing between requests. The HTTP face finds it by its path, reads the body within bounds,
undoes the coding, asks the dialect for the records, makes them durable, and answers with the
dialect's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

import orjson

from muniment.errors import InputError, MunimentError
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding, Grow
from muniment.receive.groups import Records

MAX_PARAMETERS = 32


def header_value(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Returns a header's value (Latin-1), several joined by `, `; None where it is not there."""
    values = [value for key, value in headers if key == name]
    return b", ".join(values).decode("latin-1") if values else None


@dataclass(frozen=True, slots=True)
class Posting:
    """The head of a POST, as a dialect sees it.

    `path` is what stands after a prefix such as `/in/edge`; header names are lower-case. `inner`
    is the source of the lines inside, where the listener or `?as=` names one; else empty.
    """

    path: str
    query: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()
    inner: str = ""

    def header(self, name: bytes) -> str | None:
        """Returns a header's value (Latin-1), several joined by `, `; None where there is none."""
        return header_value(self.headers, name)

    @property
    def media(self) -> str:
        """The media type of the body, lower-case, without parameters; empty where not given."""
        return (self.header(b"content-type") or "").partition(";")[0].strip().lower()

    def source(self, envelope: str) -> str:
        """Returns the `as` of records in an envelope: `otlp`, or `otlp/nginx`."""
        return f"{envelope}/{self.inner}" if self.inner else envelope

    def parameters(self) -> dict[str, str]:
        """Returns the query's parameters, the last of each name. Raises InputError."""
        try:
            pairs = parse_qsl(
                self.query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS
            )
        except ValueError:
            raise InputError("the query string is malformed") from None
        return dict(pairs)


@dataclass(frozen=True, slots=True)
class Taken:
    """The records of a body.

    `id` makes a repetition of the same batch harmless, where the protocol gives one; `reply` is
    whatever the dialect needs for its answer, and `reply_bytes` the memory that both will take.
    """

    groups: Sequence[Records]
    id: str = ""
    reply: Any = None
    reply_bytes: int = 0

    @property
    def count(self) -> int:
        """How many records there are."""
        return sum(len(group.records) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `headers` are whole pairs; the body's length is added to them."""

    status: int
    body: bytes = b""
    media: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


def problem_reply(error: MunimentError) -> Reply:
    """Returns a refusal for a protocol without words of its own: problem details (RFC 9457)."""
    problem = {
        "type": f"urn:muniment:problem:{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    advice = getattr(error, "advice", "")
    if advice:
        problem["advice"] = advice
    return Reply(error.status, orjson.dumps(problem), "application/problem+json")


class Dialect(Protocol):
    """One protocol. All methods are called from several threads."""

    @property
    def name(self) -> str:
        """Its name in settings, metrics and, as `via`, in receipt headers."""

    def handles(self, path: str) -> bool:
        """Whether a POST to this path (without `/in/{log}`) is this protocol's."""

    def coding(self, posting: Posting) -> Coding:
        """Judges the head before the body comes: returns the body's coding.

        Raises InputError (UnsupportedMedia, a missing parameter) where the body is not wanted.
        """

    def take(self, posting: Posting, body: bytes, limit: int, grow: Grow) -> Taken:
        """Takes a body (its coding undone) apart, all of it or none.

        `limit` bounds what a body may unpack to where the protocol compresses inside; `grow` is
        told of memory before it is used: what the records and the objects made on the way take.
        Raises InputError, TooLarge, Overloaded.
        """

    def accepted(
        self, posting: Posting, taken: Taken, acknowledgement: Acknowledgement | None
    ) -> Reply:
        """The answer once all is durable; no acknowledgement where there were no records.

        `taken` is what `take` returned, without its records.
        """

    def refused(self, posting: Posting, error: MunimentError) -> Reply:
        """The answer to what was refused: a status that makes real clients do the right thing.

        The caller adds `Retry-After` and `WWW-Authenticate` where the error has them.
        """
