"""What a TOML file with a parser says, checked: every fault names its key and the reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from muniment.errors import SettingsError
from muniment.event.schema import SCHEMA

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
MAX_FILE = 256 * 1024
CLASSES: Mapping[str, int] = {
    "base": 0,
    "http": 4002,
    "network": 4001,
    "api": 6003,
    "entity": 3004,
    "authentication": 3002,
    "lifecycle": 6002,
}
WHOLE = "*"
"""The name under which `fields` has the whole line."""

Kind = Literal[
    "text",
    "integer",
    "boolean",
    "time",
    "list",
    "status",
    "severity",
    "url",
    "address",
    "request",
    "ns",
    "us",
    "ms",
    "s",
    "duration",
]
Class = Literal["base", "http", "network", "api", "entity", "authentication", "lifecycle"]
# What a struct is filled from, where a conversion makes more than one value.
_STRUCTS = {"url": "http_request.url", "request": "http_request"}
_OF_COLUMNS: Mapping[str, Kind] = {
    "time_dt": "time",
    "http_request.url": "url",
    "http_request": "request",
}
_NOT_OURS = {
    *("log", "shard", "index", "time", "raw_data", "parse_error", "unmapped", "class_uid"),
    *("received", "source", "via", "peer", "sender", "node", "category_uid", "type_uid"),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(_Strict):
    """Where a group goes: `to` a column path, `as_` how it is read; see the reference."""

    to: str
    as_: Kind | None = Field(None, alias="as")
    format: str | None = None
    zone: str | None = None
    separator: str = Field(",", min_length=1, max_length=16)
    map: dict[str, str | int | bool] | None = None
    default: str | int | bool | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        kind = column_type(self.to)
        if self.zone is not None:
            _check_zone(self.zone)
        if self.format is not None and self.kind != "time":
            raise ValueError("format is for a time")
        if self.default is not None and self.map is None:
            raise ValueError("default is what a map gives for other values")
        goes = _STRUCTS.get(self.as_ or "")
        if goes is not None and self.to != goes:
            raise ValueError(f"as = {self.as_!r} goes to {goes!r}")
        if not _takes(kind, self.kind, self.to):
            raise ValueError(f"{self.to} is {_said(kind)}: as = {self.kind!r} does not fill it")
        if self.map is not None:
            wanted = str if self.kind == "text" else int
            values = [*self.map.values(), *([] if self.default is None else [self.default])]
            if any(isinstance(value, str) != (wanted is str) for value in values):
                raise ValueError(f"map: {self.to} is {_said(kind)}, and so are the map's values")
        return self

    @property
    def kind(self) -> Kind:
        """How it is read: as was said, or as the column wants it."""
        if self.as_ is not None:
            return self.as_
        if self.to in _OF_COLUMNS:
            return _OF_COLUMNS[self.to]
        return _natural(column_type(self.to))


class Pattern(_Strict):
    """A regular expression with named groups, and the class of the lines that it fits."""

    regex: str = Field(min_length=1, max_length=8_192)
    class_: Class | None = Field(None, alias="class")


class Example(_Strict):
    """A line, and what columns it must give; `reads = false` is a line that must not be read."""

    line: str
    expect: dict[str, Any] = Field(default_factory=dict)
    reads: bool = True


def _patterns(value: object) -> object:
    given = value if isinstance(value, list) else [value]
    return [{"regex": one} if isinstance(one, str) else one for one in given]


def _targets(value: object) -> object:
    given = value if isinstance(value, list) else [value]
    return [{"to": one} if isinstance(one, str) else one for one in given]


Targets = Annotated[list[Target], BeforeValidator(_targets), Field(min_length=1)]


class Definition(_Strict):
    """A parser as its file says it."""

    name: str
    class_: Class = Field(alias="class")
    kind: Literal["text", "json"] = "text"
    product: str | None = None
    log_name: str | None = None
    envelope: Literal["none", "syslog", "container"] = "none"
    zone: str | None = None
    empty: list[str] = ["", "-"]
    pattern: Annotated[list[Pattern], BeforeValidator(_patterns)] = []
    fields: dict[str, Targets] = Field(min_length=1)
    constants: dict[str, str | int | bool] = {}
    example: list[Example] = []

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if NAME.fullmatch(self.name) is None:
            raise ValueError("name: use a-z, 0-9, `.`, `_` and `-`, 64 at most")
        if self.zone is not None:
            _check_zone(self.zone)
        if (self.kind == "text") != bool(self.pattern):
            raise ValueError("pattern: kind = 'text' has patterns, kind = 'json' has none")
        groups = [set(groups_of(p.regex, n)) for n, p in enumerate(self.pattern)]
        if self.kind == "text":
            known = set().union(*groups) | {WHOLE}
            for name in self.fields:
                if name not in known:
                    raise ValueError(f"fields.{name}: no pattern has a group of that name")
        for path, value in self.constants.items():
            _check_constant(path, value)
        for number, example in enumerate(self.example):
            for path in example.expect:
                if path not in ("unmapped", "parse_error", "class_uid"):
                    try:
                        column_type(path, ours=False)
                    except ValueError as error:
                        raise ValueError(f"example.{number}.expect: {error}") from error
        return self


def groups_of(regex: str, number: int = 0) -> list[str]:
    """The names of a pattern's groups. Raises ValueError where it is none, or has no name."""
    try:
        made = pl.Series([""]).str.extract_groups(regex)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(f"pattern.{number}: no regular expression: {error}") from error
    kind = made.dtype
    names = [field.name for field in kind.fields] if isinstance(kind, pl.Struct) else []
    named = [name for name in names if not name.isdecimal()]
    if not named:
        raise ValueError(f"pattern.{number}: it has no named group, such as (?P<status>[0-9]+)")
    return named


def column_type(path: str, *, ours: bool = True) -> pa.DataType:
    """The type of a column path such as `http_request.url.path`. Raises ValueError.

    With `ours` it must be one that a parser may fill.
    """
    names = path.split(".")
    if ours and names[0] in _NOT_OURS:
        hint = "; a time goes to time_dt" if names[0] == "time" else ""
        raise ValueError(f"{names[0]} is not for a parser to fill{hint}")
    kind: pa.DataType = pa.struct(list(SCHEMA))
    for name in names:
        if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
            kind = kind.value_type
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            raise ValueError(f"there is no column {path!r}")
        kind = kind.field(name).type
    return kind


def _natural(kind: pa.DataType) -> Kind:
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_list(kind):
        return "list"
    return "address" if pa.types.is_struct(kind) else "text"


def _takes(kind: pa.DataType, how: str, path: str) -> bool:
    """Whether a conversion makes what a column takes."""
    if how in _STRUCTS:
        return True
    if how == "address":
        return pa.types.is_struct(kind) and {"ip", "port", "name"} <= {f.name for f in kind}
    if how == "time":
        return bool(pa.types.is_timestamp(kind))
    if how == "list":
        return bool(pa.types.is_list(kind) and pa.types.is_string(kind.value_type))
    if how == "boolean":
        return bool(pa.types.is_boolean(kind))
    if how == "status":
        return path == "status_id"
    if how == "severity":
        return path == "severity_id"
    return bool(pa.types.is_string(kind) if how == "text" else pa.types.is_integer(kind))


def _check_constant(path: str, value: str | int | bool) -> None:
    try:
        kind = column_type(path)
    except ValueError as error:
        raise ValueError(f"constants: {error}") from error
    fits = {"text": str, "integer": int, "boolean": bool}.get(_natural(kind))
    if fits is None or type(value) is not fits:
        raise ValueError(f"constants: {path} is {_said(kind)}, not {value!r}")


def _said(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return "an object"
    return {"text": "text", "integer": "a whole number"}.get(_natural(kind), f"a {_natural(kind)}")


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"zone: {zone!r} is no IANA time zone") from error
    except KeyError as error:
        raise ValueError(f"zone: {zone!r} is no IANA time zone") from error


def read(text: str, file: str) -> Definition:
    """The definition in a TOML text. Raises SettingsError, which names file, key and reason."""
    try:
        return Definition.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{file}: not TOML: {error}") from error
    except ValidationError as error:
        raise SettingsError(f"{file}: {_complaint(error)}") from error


def _complaint(error: ValidationError) -> str:
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in detail["loc"])
        text = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            text = "there is no such key"
        elif detail["type"] == "missing":
            text = "it is missing"
        found.append(f"{key}: {text}" if key else text)
    return "; ".join(found)
