"""Protobuf messages as the JSON text that Protobuf itself maps them to.

For sources whose entries are Protobuf. The mapping is that of the Protobuf language guide ("JSON
format"): lowerCamelCase names, 64-bit integers as text, enums by name, bytes in base64, Timestamp
and Duration as text. Fields that a description does not know are left out of the text; the entry
has them.

Senders do not always keep to UTF-8, and a decoder that insists on it refuses the whole message. All
text is therefore read as bytes, which is the same on the wire; those that are not UTF-8 are written
as `\\xNN`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import orjson
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

Convert = Callable[[Any], Any]
_Plan = dict[int, tuple[str, Convert]]
_Field = FieldDescriptorProto
_LARGE = {
    _Field.TYPE_INT64,
    _Field.TYPE_UINT64,
    _Field.TYPE_SINT64,
    _Field.TYPE_FIXED64,
    _Field.TYPE_SFIXED64,
}
_FRACTIONS = {_Field.TYPE_DOUBLE, _Field.TYPE_FLOAT}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPENING_BRACE = b"{"


class Renderer:
    """Renders messages of the type `root`, which the `files` describe.

    `hexadecimal` names the fields of bytes that are written in hex, as OTLP wants its ids;
    `enum_names` is false where enums stand as numbers; with `nanoseconds`, Timestamps are numbers
    of nanoseconds since the epoch. A message that begins with `{` is JSON already, and is not
    rendered.
    """

    def __init__(
        self,
        files: Iterable[FileDescriptorProto],
        root: str,
        *,
        hexadecimal: Iterable[str] = (),
        enum_names: bool = True,
        nanoseconds: bool = False,
    ) -> None:
        self._hexadecimal = frozenset(hexadecimal)
        self._enum_names = enum_names
        self._messages: dict[str, DescriptorProto] = {}
        self._enums: dict[str, dict[int, str]] = {}
        self._plans: dict[str, _Plan] = {}
        self._special = dict(_WELL_KNOWN)
        if nanoseconds:
            self._special[".google.protobuf.Timestamp"] = _nanoseconds
        pool = DescriptorPool()
        for file in files:
            self._note(f".{file.package}", file.message_type, file.enum_type)
            pool.Add(_textless(file))
        self._class = GetMessageClass(pool.FindMessageTypeByName(root))
        self._render = self._converter(f".{root}")

    def render(self, raws: Iterable[bytes]) -> list[str | None]:
        """The JSON text of each message; None for one that is JSON or cannot be read."""
        return [None if (one := self.value(raw)) is None else _dumped(one) for raw in raws]

    def value(self, raw: bytes) -> Any:
        """The JSON value of a message; None for one that is JSON, empty, or cannot be read.

        Bytes that are no message may look like one of nothing but unknown fields: that is empty.
        """
        if raw.startswith(_OPENING_BRACE):
            return None
        try:
            return self._render(self._class.FromString(raw)) or None
        except (DecodeError, RecursionError):
            return None

    def _note(self, scope: str, messages: Iterable[DescriptorProto], enums: Iterable[Any]) -> None:
        for enum in enums:
            names = {value.number: value.name for value in enum.value}
            self._enums[f"{scope}.{enum.name}"] = names
        for message in messages:
            name = f"{scope}.{message.name}"
            self._messages[name] = message
            self._note(name, message.nested_type, message.enum_type)

    def _converter(self, name: str) -> Convert:
        special = self._special.get(name)
        if special is not None:
            return special
        plan = self._plans.get(name)
        if plan is None:
            plan = self._plans[name] = {}
            for field in self._messages[name].field:
                plan[field.number] = (_camel(field.name), self._field(field))
        known = plan

        def convert(message: Message) -> dict[str, Any]:
            made = {}
            for field, value in message.ListFields():
                key, one = known[field.number]
                made[key] = one(value)
            return made

        return convert

    def _field(self, field: FieldDescriptorProto) -> Convert:
        inner = self._messages.get(field.type_name)
        if inner is not None and inner.options.map_entry:
            value = self._field(inner.field[1])
            return lambda pairs: {_text(pair.key): value(pair.value) for pair in pairs}
        one = self._single(field)
        if field.label != _Field.LABEL_REPEATED:
            return one
        return lambda values: [one(value) for value in values]

    def _single(self, field: FieldDescriptorProto) -> Convert:
        kind = field.type
        if kind == _Field.TYPE_MESSAGE:
            return self._converter(field.type_name)
        if kind == _Field.TYPE_STRING:
            return _text
        if kind == _Field.TYPE_BYTES:
            return bytes.hex if field.name in self._hexadecimal else _base64
        if kind == _Field.TYPE_ENUM and self._enum_names:
            names = self._enums[field.type_name]
            return lambda number: names.get(number, number)
        if kind in _LARGE:
            return str
        return _fraction if kind in _FRACTIONS else _same


def _dumped(value: Any) -> str | None:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested too deeply
        return None


def _textless(file: FileDescriptorProto) -> FileDescriptorProto:
    """The same description with bytes for text, and maps as the lists of pairs that they are."""
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    todo = list(copy.message_type)
    while todo:
        message = todo.pop()
        todo.extend(message.nested_type)
        message.options.ClearField("map_entry")
        for field in message.field:
            if field.type == _Field.TYPE_STRING:
                field.type = _Field.TYPE_BYTES
    return copy


def _camel(name: str) -> str:
    return re.sub(r"_+([a-z0-9])", lambda match: match[1].upper(), name)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _same(value: Any) -> Any:
    return value


def _fraction(value: float) -> float | str:
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _timestamp(message: Any) -> Any:
    seconds, nanos = message.seconds, message.nanos
    try:
        whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        whole = ""
    if not whole or not 0 <= nanos < 10**9:
        return {"seconds": str(seconds), "nanos": nanos}
    return f"{whole.rjust(19, '0')}{_decimals(nanos)}Z"


def _nanoseconds(message: Any) -> str:
    return str(message.seconds * 10**9 + message.nanos)


def _duration(message: Any) -> Any:
    seconds, nanos = message.seconds, message.nanos
    if not -(10**9) < nanos < 10**9 or seconds * nanos < 0:
        return {"seconds": str(seconds), "nanos": nanos}
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_decimals(abs(nanos))}s"


def _decimals(nanos: int) -> str:
    """None, three, six or nine decimals."""
    if not nanos:
        return ""
    text = f".{nanos:09d}"
    return text[:4] if text.endswith("000000") else text[:7] if text.endswith("000") else text


def _wrapped(message: Any) -> Any:
    return message.value


def _value(message: Any) -> Any:
    for field, value in message.ListFields():
        return _VALUES[field.number](value)
    return None


def _struct(message: Any) -> dict[str, Any]:
    return {_text(pair.key): _value(pair.value) for pair in message.fields}


def _list(message: Any) -> list[Any]:
    return [_value(value) for value in message.values]


def _any(message: Any) -> dict[str, str]:
    """The message inside is of a type that is not described here."""
    return {"@type": _text(message.type_url), "value": _base64(message.value)}


_VALUES: Mapping[int, Convert] = {
    1: lambda _: None,
    2: _fraction,
    3: _text,
    4: _same,
    5: _struct,
    6: _list,
}
_WELL_KNOWN: Mapping[str, Convert] = {
    ".google.protobuf.Timestamp": _timestamp,
    ".google.protobuf.Duration": _duration,
    ".google.protobuf.UInt32Value": _wrapped,
    ".google.protobuf.BoolValue": _wrapped,
    ".google.protobuf.Value": _value,
    ".google.protobuf.Struct": _struct,
    ".google.protobuf.ListValue": _list,
    ".google.protobuf.Any": _any,
}
