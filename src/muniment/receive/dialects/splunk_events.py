"""Splunk events: JSON objects one after the other or in an array, each as it stands in the body."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from muniment.errors import InputError, TooLarge
from muniment.receive.coding import Grow
from muniment.receive.dialects.json_slices import Document

RECORD_COST = 60
"""Bytes of memory that an event takes beside its own."""

_SPACE = b" \t\r\n"
_GROW_EVERY = 1_000
_FOLLOWING = re.compile(r".*trailing characters \(byte ([0-9]{1,12})\)")
_HALF = re.compile(rb"((?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F]))++)|\\u[dD][89a-fA-F]", re.DOTALL)


class HecError(InputError):
    """What was sent cannot be taken: Splunk's `code`, and the `event` at fault, from 0."""

    def __init__(self, code: int, detail: str, *, event: int | None = None) -> None:
        super().__init__(detail if event is None else f"event {event}: {detail}")
        self.code = code
        self.event = event


class _Event(msgspec.Struct, gc=False):
    """An event as far as it is looked at; an empty Raw is a field that is not there."""

    event: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(_Event)


def events(body: bytes, grow: Grow) -> list[bytes]:
    """Returns the bytes of each event.

    Raises HecError where one is no object or has nothing in `event`, TooLarge, Overloaded.
    """
    begins = body.lstrip(_SPACE)[:1]
    if not begins:
        raise HecError(5, "the body is empty")
    grow(len(body))
    found: list[bytes] = []
    for start, stop, content in _array(body, grow) if begins == b"[" else _sequence(body, grow):
        if not len(found) % _GROW_EVERY:
            grow(_GROW_EVERY * RECORD_COST)
        if content in (b"", b"null"):
            raise HecError(12, "there is no `event`", event=len(found))
        if content[:2] == b'""':
            raise HecError(13, "`event` is blank", event=len(found))
        found.append(body[start:stop].rstrip(_SPACE))
    if not found:
        raise HecError(5, "the array is empty")
    return found


Place = tuple[int, int, bytes]
"""Where an event begins and ends, and how `event` begins: with nothing where it is not there."""


def _array(body: bytes, grow: Grow) -> Iterator[Place]:
    try:
        document = Document(body, grow)
        spans = document.elements(document.whole)
    except TooLarge:
        raise
    except InputError as error:
        raise HecError(6, error.detail) from None
    for span in spans:
        found = document.member(("event",), span)
        yield *span, b"" if found is None else body[found[0] : min(found[0] + 4, found[1])]


def _sequence(body: bytes, grow: Grow) -> Iterator[Place]:
    """Objects one after the other: where one ends, the parser complains of what follows it."""
    text, mended, number = body, False, 0
    start, end = len(body) - len(body.lstrip(_SPACE)), len(body.rstrip(_SPACE))
    while start < end:
        try:
            event, stop = _DECODER.decode(memoryview(text)[start:end]), end
        except RecursionError:
            raise HecError(6, "nested too deeply", event=number) from None
        except msgspec.DecodeError as error:
            following = _FOLLOWING.fullmatch(str(error))
            if following is None:
                if mended:
                    raise HecError(6, str(error), event=number) from None
                grow(len(body))
                text, mended = _HALF.sub(_another, body), True
                continue
            stop = start + int(following[1]) - 1
            event = _DECODER.decode(memoryview(text)[start:stop])
        yield start, stop, bytes(memoryview(event.event)[:4])
        number += 1
        start = stop


def _another(found: re.Match[bytes]) -> bytes:
    """Halves of surrogate pairs, which programs leave that cut texts, as another character.

    The parser refuses them. This is only for finding places, which stay the same.
    """
    return found[1] or rb"\uff"
