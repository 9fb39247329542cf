"""HTTP/2 spoken without manners: headers that no client library would let out."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from .attacks_client import Client

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Told:
    """What came of a stream: its status, or None where there was none before its end.

    `broken`: the stream was reset with an error.
    """

    status: int | None
    headers: dict[str, str]
    body: bytes
    broken: bool = False


def pseudo(
    method: bytes, path: bytes, *more: tuple[bytes, bytes], authority: bytes = b"muniment.test"
) -> list[tuple[bytes, bytes]]:
    """Returns the headers of a request: the four that begin with a colon, and more."""
    first = [(b":method", method), (b":scheme", b"https"), (b":authority", authority)]
    return [*first, (b":path", path), *more]


def _raw(connection: H2Connection, stream: int, headers: Headers, end: bool) -> bytes:
    """A HEADERS frame as HPACK writes it, whatever is in it."""
    block = connection.encoder.encode([(key, value, False) for key, value in headers])
    flags = 0x4 | (0x1 if end else 0)
    return _frame(0x1, flags, stream, block)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def ask_h2(
    client: Client, headers: Headers, body: bytes = b"", seconds: float = 10, late: float = 0
) -> Told:
    """Sends one request over HTTP/2, headers as they are given, and returns what came.

    The body is sent `late` seconds after the headers.
    """
    with client.connection("h2", seconds=seconds) as stream:
        assert stream.selected_alpn_protocol() == "h2", "the edge speaks no HTTP/2"
        connection = H2Connection(H2Configuration(header_encoding=None))
        connection.initiate_connection()
        sent = connection.data_to_send()
        sent += _raw(connection, 1, headers, end=not body)
        with contextlib.suppress(OSError):  # what is refused may be cut off before all is sent
            stream.sendall(sent)
            if body:
                time.sleep(late)
                stream.sendall(_frame(0x0, 0x1, 1, body))
        return _answer(stream, body, seconds)


def _answer(stream: ssl.SSLSocket, body: bytes, seconds: float) -> Told:
    """Reads the frames of stream 1; this side's book of it begins only now."""
    book = H2Connection(H2Configuration(header_encoding=None))
    book.initiate_connection()
    book.send_headers(1, pseudo(b"GET", b"/"), end_stream=not body)
    if body:
        book.send_data(1, body, end_stream=True)
    book.clear_outbound_data_buffer()
    events: list[Event] = []
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError, ProtocolError):
        while time.monotonic() < end and not _ended(events):
            data = stream.recv(65_536)
            if not data:
                break
            events += book.receive_data(data)
            stream.sendall(book.data_to_send())
    return _told(events)


def _ended(events: Sequence[Event]) -> bool:
    return any(isinstance(one, StreamEnded | StreamReset) for one in events)


def _told(events: Sequence[Event]) -> Told:
    headers: dict[str, str] = {}
    body = b""
    for event in events:
        if isinstance(event, ResponseReceived):
            headers = {_text(key): _text(value) for key, value in event.headers or ()}
        elif isinstance(event, DataReceived):
            body += event.data or b""
    status = headers.get(":status")
    resets = [one for one in events if isinstance(one, StreamReset)]
    broken = any(one.error_code != ErrorCodes.NO_ERROR for one in resets)
    return Told(int(status) if status else None, headers, body, broken)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
