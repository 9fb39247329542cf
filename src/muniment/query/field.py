"""The fields that a query can name: short names for the common columns, OCSF names for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum

import pyarrow as pa

from muniment.errors import QueryError
from muniment.event.schema import SCHEMA

UNMAPPED = "unmapped"


class Kind(Enum):
    """How the values of a field are written and compared."""

    TEXT = "text"
    PROSE = "prose"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    INSTANT = "instant"
    ADDRESS = "address"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value stands in a row: the names down to a leaf column, and into its list items.

    `column` is the dotted name of the leaf column (a list counts as a leaf). `inner` are the
    names within each item of a list of structs; `listed` tells that the column is a list.
    """

    column: str
    listed: bool = False
    inner: tuple[str, ...] = ()

    @property
    def dotted(self) -> str:
        """The full name, as a query writes it."""
        return ".".join((self.column, *self.inner))


@dataclass(frozen=True, slots=True)
class Field:
    """A name in queries: it matches when any of its paths does. `names` stand for numbers."""

    name: str
    kind: Kind
    paths: tuple[Path, ...]
    names: Mapping[str, int] = field(default_factory=dict)


_SPECIAL = {
    "raw_data": Kind.PROSE,
    "unmapped": Kind.PROSE,
    "message": Kind.PROSE,
    "parse_error": Kind.PROSE,
    "status_detail": Kind.PROSE,
    "comment": Kind.PROSE,
    "time": Kind.TIME,
}

_ALIASES: dict[str, tuple[str, ...]] = {
    "actor": ("actor.user.name", "actor.user.uid", "user.name"),
    "action": ("api.operation",),
    "resource": ("resources.name", "resources.uid", "entity.name", "entity.uid"),
    "outcome": ("status_id",),
    "status": ("http_response.code",),
    "method": ("http_request.http_method",),
    "path": ("http_request.url.path",),
    "host": ("http_request.url.hostname", "tls.sni"),
    "client": ("src_endpoint.ip",),
    "frontend": ("load_balancer.name",),
    "backend": ("load_balancer.dst_endpoint.svc_name", "dst_endpoint.svc_name"),
    "server": ("load_balancer.dst_endpoint.name", "dst_endpoint.name"),
    "trace": ("metadata.correlation_uid",),
    "request": ("http_request.uid",),
    "agent": ("http_request.user_agent",),
    "class": ("class_uid",),
    "error": ("parse_error",),
    "raw": ("raw_data",),
    "object": ("entity.uid",),
    "kind": ("entity.type",),
}

_NAMES: dict[str, dict[str, int]] = {
    "status_id": {"unknown": 0, "success": 1, "failure": 2, "other": 99},
    "class_uid": {
        "base": 0,
        "authentication": 3002,
        "entity": 3004,
        "network": 4001,
        "http": 4002,
        "lifecycle": 6002,
        "api": 6003,
    },
    "severity_id": {
        "unknown": 0,
        "informational": 1,
        "low": 2,
        "medium": 3,
        "high": 4,
        "critical": 5,
        "fatal": 6,
        "other": 99,
    },
}


def _leaves(name: str, kind: pa.DataType) -> Iterator[tuple[Path, Kind]]:
    if pa.types.is_struct(kind):
        for child in kind:
            yield from _leaves(f"{name}.{child.name}", child.type)
    elif pa.types.is_list(kind):
        for inner, leaf in _items((), kind.value_type):
            yield Path(name, True, inner), _kind(name, leaf)
    else:
        yield Path(name), _kind(name, kind)


def _items(
    prefix: tuple[str, ...], kind: pa.DataType
) -> Iterator[tuple[tuple[str, ...], pa.DataType]]:
    """The leaves within the items of a list; a list within a list is out of reach of a query."""
    if pa.types.is_struct(kind):
        for child in kind:
            yield from _items((*prefix, child.name), child.type)
    elif not pa.types.is_list(kind):
        yield prefix, kind


def _kind(name: str, kind: pa.DataType) -> Kind:
    if name in _SPECIAL:
        return _SPECIAL[name]
    if pa.types.is_boolean(kind):
        return Kind.BOOLEAN
    if pa.types.is_integer(kind):
        return Kind.NUMBER
    if pa.types.is_timestamp(kind):
        return Kind.INSTANT
    return Kind.ADDRESS if name == "ip" or name.endswith(".ip") else Kind.TEXT


def _fields() -> dict[str, Field]:
    found: dict[str, Field] = {}
    for column in SCHEMA:
        for path, kind in _leaves(column.name, column.type):
            found[path.dotted] = Field(path.dotted, kind, (path,), _NAMES.get(path.dotted, {}))
    for alias, targets in _ALIASES.items():
        fields = [found[target] for target in targets]
        paths = tuple(path for target in fields for path in target.paths)
        found[alias] = Field(alias, fields[0].kind, paths, fields[0].names)
    return found


FIELDS: Mapping[str, Field] = _fields()
"""Every field by its name in queries, except the members of `unmapped`."""

LEAVES: frozenset[str] = frozenset(
    path.column for name, known in FIELDS.items() if name not in _ALIASES for path in known.paths
)
"""The dotted names of all leaf columns."""


def find_field(name: str, column: int) -> Field:
    """Returns the field of that name; `unmapped.a.b` reaches into the JSON of `unmapped`.

    Raises QueryError that names the column of the query and the fields that come near.
    """
    known = FIELDS.get(name)
    if known is not None:
        return known
    if name.startswith(f"{UNMAPPED}.") and not name.endswith("."):
        inner = tuple(name.split(".")[1:])
        return Field(name, Kind.JSON, (Path(UNMAPPED, inner=inner),))
    raise QueryError(
        f"column {column}: there is no field {name!r}; {_nearest(name)}; "
        "put the text in quotes to search for it as it stands"
    )


def _nearest(name: str) -> str:
    inside = sorted(known for known in FIELDS if known.startswith(f"{name}."))
    near = inside[:8] or get_close_matches(name.lower(), FIELDS, n=4, cutoff=0.6)
    if not near:
        near = [known for known in FIELDS if known.endswith(f".{name}")][:4]
    if near:
        return "did you mean " + ", ".join(near)
    return "known fields are " + ", ".join(sorted(_ALIASES)) + ", time and all OCSF names"
