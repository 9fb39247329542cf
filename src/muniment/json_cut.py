"""JSON cut where its members and elements end, without being understood.

What a sender put into a record must never decide whether the records beside it are taken: text
that is valid for one reader of JSON and not for another (half of a surrogate pair, ten thousand
brackets) is cut out like any other, and said to be unreadable later, by whoever reads it. A strict
parser goes first because it is quick; where it refuses, brackets and strings are counted.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import orjson
from msgspec import Raw

from muniment.errors import InputError

Grow = Callable[[int], None]

_COUNTED_COST = 24
_ELEMENT_COST = 130
"""Bytes of memory of an element while all are counted and, beside its own, while they are cut."""

_GROW_EVERY = 2_000

_MAX_DEPTH = 10_000
"""As deep as Go's encoding/json goes, and with it the Kubernetes API server."""

_SPACE = b" \t\r\n"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'


def _container(depth: int) -> bytes:
    """A pattern of arrays and objects that hold no more than `depth` others in each other."""
    inside = rb'[^\[\]{}"]++|' + _STRING + (b"|" + _container(depth - 1) if depth else b"")
    return rb"[\[{](?:" + inside + rb")*+[\]}]"


_SHALLOW = re.compile(_container(11), re.DOTALL)
_BRACKET = re.compile(rb'(?:[^\[\]{}"]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
_MARK = re.compile(rb'(?:[^\[\]{}",:]++|' + _STRING + rb")*+([\[\]{},:])", re.DOTALL)
_NONE = Raw(b"")


class _Object(msgspec.Struct, gc=False):
    """Any object; none of it is kept."""


_OBJECTS = msgspec.json.Decoder(list[_Object])
_RAWS = msgspec.json.Decoder(list[Raw])


class Members:
    """The bytes of some members of objects."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._places = {b'"%b"' % name.encode(): place for place, name in enumerate(names)}
        shape = msgspec.defstruct("Shape", [(name, Raw, _NONE) for name in names], gc=False)
        self._decoder = msgspec.json.Decoder(shape)

    def of(self, text: bytes) -> tuple[bytes, ...]:
        """Returns the value of each name as it stands in an object, empty where it is missing.

        Of a name that occurs twice the last one counts. Raises InputError where `text` is no
        object.
        """
        try:
            shape = self._decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._counted(text, error)
        return tuple([bytes(getattr(shape, name)) for name in self._names])

    def _counted(self, text: bytes, error: Exception) -> tuple[bytes, ...]:
        found = [b""] * len(self._names)
        for begin, colon, end in _parts(text, b"{", error):
            name = text[begin:colon].strip(_SPACE) if colon >= 0 else b""
            if name in self._places:
                found[self._places[name]] = text[colon + 1 : end].strip(_SPACE)
        return tuple(found)


def readable(text: bytes, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Returns the members of an object that can be read, though the whole cannot.

    Those before a fault, or before the end of a text that is cut short, are there.
    """
    found: dict[str, Any] = {}
    unwanted = {b'"%b"' % name.encode() for name in leave_out}
    with suppress(InputError):
        for begin, colon, end in _parts(text, b"{", EOFError()):
            name = text[begin:colon].strip(_SPACE) if colon >= 0 else b""
            if name and name not in unwanted:
                with suppress(orjson.JSONDecodeError):
                    found[orjson.loads(name)] = orjson.loads(text[colon + 1 : end])
    return found


def elements(text: bytes, grow: Grow) -> list[bytes]:
    """Returns the bytes of the elements of an array of objects.

    `grow` is told of what that takes. Raises InputError where `text` is no array, or an element
    does not begin like an object.
    """
    grow(_COUNTED_COST * text.count(b"{"))
    try:
        count = len(_OBJECTS.decode(text))
        grow(len(text) + count * _ELEMENT_COST)
        return [bytes(raw) for raw in _RAWS.decode(text)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _counted_elements(text, grow, error)


def _counted_elements(text: bytes, grow: Grow, error: Exception) -> list[bytes]:
    places = array("Q")
    grow(len(text))
    for begin, _, end in _parts(text, b"[", error):
        if text[begin:end].lstrip(_SPACE)[:1] != b"{":
            raise InputError(f"not an array of objects: {error}")
        if len(places) % _GROW_EVERY == 0:
            grow(_GROW_EVERY // 2 * _ELEMENT_COST)
        places.extend((begin, end))
    pairs = zip(places[::2], places[1::2], strict=True)
    return [text[begin:end].strip(_SPACE) for begin, end in pairs]


def text_of(value: bytes) -> str:
    """Returns the text of a JSON string, empty for anything else."""
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value[1:-1].decode("utf-8", "replace") if value[:1] == b'"' else ""


def _parts(text: bytes, kind: bytes, error: Exception) -> Iterator[tuple[int, int, int]]:
    """Yields begin, first colon and end of what stands between the commas of an object or array.

    Raises InputError with the strict parser's reason where brackets or strings do not end.
    """
    fault = InputError(f"not JSON: {error}")
    start = len(text) - len(text.lstrip(_SPACE))
    if text[start : start + 1] != kind:
        raise fault
    last = b"}" if kind == b"{" else b"]"
    begin = place = start + 1
    colon = -1
    while (found := _MARK.match(text, place)) is not None:
        mark, place = found[1], found.end()
        if mark == b",":
            yield begin, colon, place - 1
            begin, colon = place, -1
        elif mark == b":":
            colon = colon if colon >= 0 else place - 1
        elif mark in b"[{":
            place = _end(text, place - 1, fault)
        elif mark == last and not text[place:].strip(_SPACE):
            if text[begin : place - 1].strip(_SPACE):
                yield begin, colon, place - 1
            return
        else:
            break
    raise fault


def _end(text: bytes, place: int, fault: InputError) -> int:
    """Returns where the array or object that begins at a place ends.

    What is shallow is passed over in one step; what is deep is tried again after one more bracket,
    then after two, four and so on. So the time is a matter of length, whatever is inside.
    """
    depth = pause = wait = 0
    while (found := _BRACKET.match(text, place)) is not None:
        place = found.end()
        if found[1] in b"]}":
            depth -= 1
            pause = wait = 0
        elif wait:
            depth += 1
            wait -= 1
        elif (shallow := _SHALLOW.match(text, place - 1)) is not None:
            place = shallow.end()
            pause = 0
        else:
            depth += 1
            wait, pause = pause, 2 * pause + 1
        if not depth:
            return place
        if depth > _MAX_DEPTH:
            break
    raise fault
