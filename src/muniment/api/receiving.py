"""Reading a request: its headers, and its body within bounds of size and memory.

Time and rate are bounded by the server's protocol (see server.py), which closes a connection that
is too slow; what arrives here is then ClientGone.
"""

from __future__ import annotations

from starlette.types import Receive, Scope

from muniment.api.problems import ClientGone, LengthRequired
from muniment.budget import Hold
from muniment.errors import InputError, TooLarge
from muniment.receive.dialect import header_value


def header(scope: Scope, name: bytes) -> str | None:
    """Returns a header's value (Latin-1), several joined by `, `; None where it is not there."""
    return header_value(scope["headers"], name)


def declared_length(scope: Scope) -> int | None:
    """Returns the Content-Length, or None for a body in chunks.

    Raises LengthRequired where there is neither, InputError where it is no number.
    """
    length = header(scope, b"content-length")
    if length is None:
        if header(scope, b"transfer-encoding") is None:
            raise length_required()
        return None
    if not (length.isascii() and length.isdigit()):
        raise InputError("the Content-Length is no number")
    return int(length)


def length_required() -> LengthRequired:
    """Returns the error for a request that says neither its length nor that it is chunked."""
    return LengthRequired(
        "the request has no Content-Length and is not chunked",
        advice="send Content-Length, or Transfer-Encoding: chunked",
    )


def check_size(size: int, limit: int) -> None:
    """Raises TooLarge for a body over the limit."""
    if size > limit:
        raise TooLarge(
            f"a body has at most {limit:,} bytes as it is sent",
            advice="send it in several requests",
        )


async def read_body(scope: Scope, receive: Receive, limit: int, hold: Hold) -> bytes:
    """Returns the body; `hold` grows with it. Raises TooLarge, Overloaded, ClientGone."""
    length = declared_length(scope)
    if length is not None:
        check_size(length, limit)
        hold.grow_to(length)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        _account(len(body), limit, hold)
        return body
    pieces: list[bytes] = []
    total = 0
    while message["type"] == "http.request":
        piece = message.get("body", b"")
        total += len(piece)
        _account(total, limit, hold)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()
    raise ClientGone


def _account(total: int, limit: int, hold: Hold) -> None:
    check_size(total, limit)
    hold.grow_to(total)
