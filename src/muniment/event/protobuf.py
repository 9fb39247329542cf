"""Descriptions of Protobuf messages written as tables, for messages that no light library has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

_Field = FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def described(
    package: str,
    messages: Mapping[str, str],
    enums: Mapping[str, str] | None = None,
    *,
    imports: Iterable[FileDescriptorProto] = (),
) -> list[FileDescriptorProto]:
    """Files that describe `messages`, the imported ones first.

    A message is a text of `number name type` with commas between fields. A type is a scalar, an
    enum or message of this package, a message of an imported file (by its last name), `*type` for
    a list or `string:type` for a map from text. An enum is the names of its values from 0 on, no
    two enums may share one.
    """
    known = {
        message.name: f".{file.package}.{message.name}"
        for file in imports
        for message in file.message_type
    }
    known |= {name: f".{package}.{name}" for name in messages}
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.extend(one.name for one in imports)
    given = enums or {}
    for name, values in given.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values.split()):
            enum.value.add(name=value, number=number)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for line in fields.split(","):
            if line.strip():
                _add(message, line.split(), f".{package}", known, given)
    return [*imports, file]


def _add(
    message: DescriptorProto,
    words: list[str],
    scope: str,
    known: Mapping[str, str],
    enums: Mapping[str, str],
) -> None:
    number, name, kind = words
    field = message.field.add(number=int(number), name=name, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
    elif kind.startswith("string:"):
        field.label = _Field.LABEL_REPEATED
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add(entry, ["1", "key", "string"], scope, known, enums)
        _add(entry, ["2", "value", kind.removeprefix("string:")], scope, known, enums)
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f"{scope}.{message.name}.{entry.name}"
        return
    kind = kind.removeprefix("*")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    elif kind in enums:
        field.type, field.type_name = _Field.TYPE_ENUM, f"{scope}.{kind}"
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, known[kind]
