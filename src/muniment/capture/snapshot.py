"""What an object of a balancer is at one moment, as comparable as it can be made.

An object is anything that has versions: a server, a map, a certificate, a route, an Ingress, a
configuration file. Its name says where it is: `haproxy:lb1/server/web/w2` is the system, the
instance of it (the `name` of the agent's section), the kind of object and its own name, which may
hold more slashes (`nginx:edge/file/etc/nginx/nginx.conf`). It never changes for the same object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

import orjson

from muniment.errors import InputError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
State: TypeAlias = "dict[str, Json]"

MAX_NAME = 1_024
_NAME = re.compile(
    r"(?P<system>[a-z0-9-]{1,32}):(?P<instance>[^/\s]{1,128})/(?P<kind>[a-z0-9_.-]{1,64})/(?P<name>[^\x00-\x1f\x7f]+)"
)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """The name of an object, taken apart."""

    system: str
    instance: str
    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ObjectName:
        """Reads `system:instance/kind/name`. Raises InputError."""
        found = _NAME.fullmatch(text) if len(text) <= MAX_NAME else None
        if found is None:
            raise InputError(
                f"{text[:80]!r} names no object",
                advice="write system:instance/kind/name, such as haproxy:lb1/server/web/w1",
            )
        return cls(**found.groupdict())

    def __str__(self) -> str:
        return f"{self.system}:{self.instance}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An object as it is now.

    `state` is JSON whose order of members does not matter and whose order of list items does, so
    whoever makes it sorts lists that are sets and leaves out what changes by itself: counters,
    ages, timestamps of looking. Secrets are not in it: `redacted` has the JSON pointers (RFC 6901)
    of members whose value was replaced (see `redaction`). A file's content is in the member `text`.
    `names` are other names under which other logs know it: an ARN, `ingresses/default/web`, a path.
    `by` is who changed it last where the system itself says so: any of user, tool, time, request,
    and `revision`, the system's own number of this state (a resourceVersion).
    `where` has the frontend, backend or server that it belongs to, under these names.
    """

    state: State
    redacted: Sequence[str] = ()
    names: Sequence[str] = ()
    by: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """SHA-256 (hex) of the state as canonical JSON: the same state has the same version."""
        return version_of(self.state)


def canonical(state: State) -> bytes:
    """Returns JSON with sorted members and no spaces, in UTF-8."""
    return orjson.dumps(state, option=orjson.OPT_SORT_KEYS)


def version_of(state: State) -> str:
    """Returns the version of a state."""
    return sha256(canonical(state)).hexdigest()
