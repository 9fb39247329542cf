"""Which paths go to which nodes of a cluster, as regular expressions for a Gateway or an Ingress.

A Gateway knows no maps: where logs have a residency, their names stand in the expressions. Where
nodes are in several jurisdictions, a log that the description does not name goes nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from muniment.edge.description import Description
from muniment.edge.parts import Node
from muniment.edge.paths import CLASSES, LOG, PathClass

ANY = "any"
MAX_EXPRESSION = 1_000
"""Characters; a Gateway takes 1,024."""

_MAY_NAME = rf"(?:/in/{LOG})?"
_BEFORE_LOG = ("/api/v1/logs/", "/api/v1/logs(?:/", "/tlog/", "/in/")
_INDEX = r"/[^/_.][^/]*"
_INDEX_BUT_IN = r"/(?:[^/_.i][^/]*|i(?:[^/n][^/]*)?|in[^/]+)"
"""An index of that name would be the `/in/` of another log's path."""

_WITHOUT_METHODS = ("index", "probe")
"""Told from a page of the console by their methods alone, which an Ingress cannot see."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The nodes of a role in a scope: everywhere, or one jurisdiction."""

    role: str
    scope: str
    nodes: tuple[Node, ...]

    @property
    def name(self) -> str:
        """What the Service is called, after the edge's own name."""
        return self.role if self.scope == ANY else f"{self.role}-{self.scope}"


@dataclass(frozen=True, slots=True)
class Route:
    """An expression that a whole path has to match, the methods, and where it leads."""

    expression: str
    methods: tuple[str, ...]
    role: str
    scope: str
    by_method: bool
    """Whether only its methods tell it from other routes."""


def backends(description: Description) -> tuple[Backend, ...]:
    """Returns every set of nodes that a route leads to, those without nodes left out."""
    found = [
        Backend(role, scope, description.nodes(role, "" if scope == ANY else scope))
        for scope in _scopes(description)
        for role in ("ingest", "query")
    ]
    return tuple(one for one in found if one.nodes)


def routes(description: Description) -> Iterator[Route]:
    """Yields the routes; none leads into a jurisdiction that a log of its path may not be in.

    What a node says of its own shards alone has no route where several nodes write.
    """
    for one in CLASSES:
        if one.own and description.many_write:
            continue
        for scope in _scopes(description):
            for expression in _expressions(description, one, scope):
                by_method = one.name in _WITHOUT_METHODS
                yield Route(expression, one.methods, one.role, scope, by_method)


def _scopes(description: Description) -> tuple[str, ...]:
    if not description.divided:
        return (ANY,)
    own = description.jurisdiction
    return (ANY, *([own] if own else description.residencies))


def _expressions(description: Description, one: PathClass, scope: str) -> Iterator[str]:
    if not description.divided:
        yield one.pattern
        return
    own = description.jurisdiction
    if one.open_log:
        # A token or a default may say any log of the edge's own jurisdiction; without one, of all.
        if own and scope == own:
            unnamed = one.pattern.replace(_MAY_NAME, "").replace(_INDEX, _INDEX_BUT_IN)
            yield re.sub(r"\|\^/in/.*", "", unnamed)
    elif LOG not in one.pattern and scope == (own or ANY):
        yield one.pattern
    residency = "" if scope == ANY else scope
    names = [log.name for log in description.log if log.residency == residency]
    if LOG in one.pattern:
        for part in _parts(one.pattern, names):
            yield _named(one.pattern, part)


def _named(pattern: str, names: Sequence[str]) -> str:
    """The same for these logs alone, which the path has to name."""
    known = f"(?:{'|'.join(name.replace('.', '[.]') for name in names)})"
    pattern = pattern.replace(_MAY_NAME, f"/in/{LOG}")
    for before in _BEFORE_LOG:
        pattern = pattern.replace(f"{before}{LOG}", f"{before}{known}")
    return pattern


def _parts(pattern: str, names: Sequence[str]) -> Iterator[list[str]]:
    """The names in parts that each fit into an expression."""
    part: list[str] = []
    for name in names:
        if part and len(_named(pattern, [*part, name])) > MAX_EXPRESSION:
            yield part
            part = []
        part.append(name)
    if part:
        yield part
