"""Server-sent events (WHATWG HTML, section 9.2): a stream of bytes becomes events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from muniment.errors import InputError

MAX_EVENT = 8 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is the last id that the stream named, also by an event before."""

    name: str
    data: str
    id: str


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Yields the events of a stream.

    An event that the end of the stream cuts short is dropped, as the standard says. Raises
    InputError for one of more than MAX_EVENT bytes.
    """
    name, last_id, length = "", "", 0
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data), last_id)
            name, data, length = "", [], 0
            continue
        length += len(line)
        if length > MAX_EVENT:
            raise _too_long()
        field, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Splits at LF, CR LF and CR alone; other line separators of Unicode are data."""
    begun: list[bytes] = []
    length = 0
    after_cr = False
    for chunk in chunks:
        if after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            after_cr = False
        after_cr = after_cr or chunk.endswith(b"\r")
        *whole, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield b"".join([*begun, line])
            begun, length = [], 0
        begun.append(rest)
        length += len(rest)
        if length > MAX_EVENT:
            raise _too_long()


def _too_long() -> InputError:
    return InputError(f"the server sent an event of more than {MAX_EVENT:,} bytes")
