"""Doors: what a listener takes, and where that goes.

The main listener has the whole API and every dialect at its native path; a listener of its own
has one. In front of a dialect's path, `/in/{log}` names the log.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

from muniment.access import Guard
from muniment.api.context import Context
from muniment.api.delivery import DeliveryHead
from muniment.api.job import Head
from muniment.api.write import WriteHead
from muniment.receive.dialect import Dialect, Posting
from muniment.receive.dialects import DIALECTS

_NATIVE = re.compile(r"/api/v1/logs/([^/]+)/entries")
_IN = re.compile(r"/in/([^/]+)(/.*)?", re.DOTALL)
_AS = re.compile(rb"(?:^|&)as=([^&]*)")


@dataclass(frozen=True, slots=True)
class Door:
    """What a listener takes.

    `log` is where deliveries go that name none and whose sender is bound to none, `inner` the
    source of the lines inside; `native` says that the whole API is behind this door, `guard` who
    gets through, `connections` how many at a time (0: as the node's limits say). `writers` names
    the client certificates that give the right to write; None: all that TLS verified.
    """

    guard: Guard
    dialects: Sequence[Dialect]
    log: str
    inner: str = ""
    native: bool = True
    connections: int = 0
    writers: frozenset[str] | None = None

    def head(self, context: Context, path: str, scope: Scope) -> Head | None:
        """Returns the head of a request that writes; None where it is another's.

        `path` is decoded; `scope` has the method, the query, the headers and the client.
        """
        method = scope["method"]
        if method == "POST" and self.native:
            found = _NATIVE.fullmatch(path)
            if found is not None:
                return WriteHead(context, found[1], scope)
        if method in ("POST", "PUT"):
            log, path = split_log(path)
            for dialect in self.dialects:
                if dialect.handles(path):
                    posting = self._posting(path, scope)
                    return DeliveryHead(context, self.guard, dialect, posting, scope, log, self.log)
        return None

    def _posting(self, path: str, scope: Scope) -> Posting:
        query: bytes = scope["query_string"]
        named = _AS.search(query)
        inner = named[1].decode("latin-1") if named else self.inner
        return Posting(path, query, scope["headers"], inner)


def split_log(path: str) -> tuple[str, str]:
    """Returns the log that a path begins with (`/in/edge/v1/logs`) and the rest; `""` for none."""
    found = _IN.fullmatch(path)
    return ("", path) if found is None else (found[1], found[2] or "/")


def every_door(context: Context) -> Door:
    """Returns the door of the main listener: all there is, into the first log."""
    log = next(iter(context.logs), "")
    return Door(context.guard, DIALECTS, log, writers=context.writers)
