"""The description of a fleet, as the edge needs it: one small TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from muniment.edge.kinds import NameText, Tag
from muniment.edge.parts import (
    Allow,
    Cache,
    Front,
    Limits,
    Log,
    Members,
    Node,
    OwnLog,
    Role,
    Stream,
    Table,
    Tls,
)
from muniment.errors import SettingsError

MAX_FILE_BYTES = 1 << 20
MAX_NODES = 1_000
_WORDS = {"tuple_type": "write a list, with [ ] around it"}
_FILES = ("certificate", "client_ca", "nodes_ca", "node_certificate")


class Description(Table):
    """A fleet: its nodes, its logs and their residency, and what its edge allows.

    `jurisdiction` and `region` are where this edge itself stands: nodes of its region are asked
    first, and with a jurisdiction it takes nothing of a log that is to stay in another.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NameText = "edge"
    jurisdiction: Tag = ""
    region: Tag = ""
    listen: Front
    tls: Tls
    node: tuple[Node, ...] = Field((), max_length=MAX_NODES)
    members: Members | None = None
    log: tuple[Log, ...] = Field((), max_length=10_000)
    stream: tuple[Stream, ...] = Field((), max_length=100)
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    allow: Allow = Allow()
    cache: Cache = Field(default_factory=lambda: Cache.model_validate({}))
    own_log: OwnLog | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.node and self.members is None:
            raise ValueError("name the nodes, in [[node]] tables or by [members]")
        _once("node", [node.name for node in self.node])
        _once("log", [log.name for log in self.log])
        listening = [*self.listen.https, *(stream.listen for stream in self.stream)]
        listening += [self.listen.http] if self.listen.http is not None else []
        _once("listen", [str(address) for address in listening if address.port])
        self._check_tls()
        self._check_streams()
        return self

    def _check_tls(self) -> None:
        if self.tls.nodes_ca is not None:
            return
        for node in self.node:
            places = [node.address, *node.listeners.values()]
            if not all(place.is_loopback for place in places):
                raise ValueError(
                    f"node {node.name} would be spoken to in plain text over a network: set "
                    "tls.nodes_ca, and tls.node_certificate for what the edge shows it"
                )
        if self.own_log is not None and self.own_log.tls:
            raise ValueError("own_log.tls needs tls.nodes_ca: what its certificate is checked by")

    def _check_streams(self) -> None:
        known = {log.name for log in self.log}
        for stream in self.stream:
            if stream.log and stream.log not in known:
                raise ValueError(f"stream on {stream.listen}: there is no [[log]] {stream.log}")
            asked = stream.tls and self.tls.client_ca is not None
            if not asked and not stream.anonymous and not stream.listen.is_loopback:
                raise ValueError(
                    f"stream on {stream.listen} would take entries from anybody: keep tls and set "
                    "tls.client_ca, or say anonymous = true there (forward with a shared key of "
                    "the nodes; networks that [allow] holds to)"
                )
            self._check_plain(stream)
            if not stream.log and self.divided:
                raise ValueError(
                    f"stream on {stream.listen}: name its log; logs here have a residency, and "
                    "the nodes are in several jurisdictions"
                )

    def _check_plain(self, stream: Stream) -> None:
        for node in self.node if stream.plain_to_nodes else ():
            place = node.listeners.get(stream.protocol)
            if place is not None and not place.is_loopback:
                raise ValueError(
                    f"stream on {stream.listen}: plain_to_nodes would send entries to {node.name} "
                    "in plain text over a network"
                )

    @property
    def divided(self) -> bool:
        """Whether it matters where a request goes: some log may not be everywhere a node is."""
        places = {node.jurisdiction for node in self.node} | set(self.residencies)
        if self.jurisdiction:
            places.add(self.jurisdiction)
        return bool(self.residencies) and len(places) > 1

    @property
    def many_write(self) -> bool:
        """Whether several nodes write shards: one of them cannot speak for the others."""
        return len(self.nodes("ingest")) > 1

    @property
    def residencies(self) -> tuple[str, ...]:
        """The jurisdictions that some log must not leave."""
        return tuple(sorted({log.residency for log in self.log if log.residency}))

    def nodes(self, role: Role, residency: str = "") -> tuple[Node, ...]:
        """Returns the nodes of a role, those of one jurisdiction only where a residency is given.

        Nodes that have left are not among them.
        """
        return tuple(
            node
            for node in self.node
            if role in node.roles
            and node.state != "left"
            and (not residency or node.jurisdiction == residency)
        )

    def lacking(self) -> Iterator[str]:
        """Says what no node here can do, where nobody else is asked for nodes."""
        roles = {role for node in self.node for role in node.roles}
        if self.members is None and "ingest" not in roles:
            yield "no node has the role ingest: nothing can be written through this edge"
        if self.members is None and "query" not in roles:
            yield "no node has the role query: nothing can be read through this edge"

    def is_near(self, node: Node) -> bool:
        """Whether a node is asked first: it is in the edge's own region, or the edge has none."""
        return not self.region or node.region == self.region

    def with_nodes(self, nodes: Sequence[Node]) -> Description:
        """Returns the same with these nodes; raises SettingsError where they do not fit."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return _checked(given | {"node": tuple(nodes)}, "the members")


def load(path: Path) -> Description:
    """Reads a description; paths in it are relative to its directory. Raises SettingsError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError(f"{path}: over {MAX_FILE_BYTES:,} bytes are no description of a fleet")
    try:
        given = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    return _checked(_absolute(given, path.parent), str(path))


def _absolute(given: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The same with absolute paths of files: a balancer has a directory of its own."""
    for table, names in (("tls", _FILES), ("members", ("token",))):
        inner = given.get(table)
        if not isinstance(inner, dict):
            continue
        for name in names:
            if isinstance(inner.get(name), str):
                inner[name] = str((directory / inner[name]).absolute())
    return given


def _checked(given: dict[str, Any], where: str) -> Description:
    try:
        return Description.model_validate(given)
    except ValidationError as error:
        raise SettingsError(f"{where}: {'; '.join(_complaints(error))}") from error


def _complaints(error: ValidationError) -> list[str]:
    found = []
    for detail in error.errors(include_url=False, include_input=False)[:20]:
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            found.append(f"{key}: there is no such key in a description")
        else:
            text = _WORDS.get(detail["type"], detail["msg"].removeprefix("Value error, "))
            found.append(f"{key}: {text}" if key else text)
    return found


def _once(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: {twice[0]} stands there twice")
