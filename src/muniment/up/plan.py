"""What a fleet on one machine is made of: kept in `fleet.json`, so that a later start goes on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from muniment.errors import SettingsError
from muniment.log.disk import Disk, write_file
from muniment.settings import Durability
from muniment.settings.fleet import Role
from muniment.settings.kinds import Name
from muniment.settings.store import StoreUrl
from muniment.up.places import Places
from muniment.up.ports import FreePorts

MOST_NODES = 32
"""Of each role, on one machine."""

Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=1, le=MOST_NODES)]


class EdgeKind(StrEnum):
    """The balancer in front; with `none` the nodes are spoken to directly."""

    HAPROXY = "haproxy"
    NGINX = "nginx"
    ENVOY = "envoy"
    NONE = "none"


class Planned(BaseModel):
    """One node: what it does and where it listens on 127.0.0.1.

    A node that is not `present` was taken out by scaling down; its folder stays, and it comes back
    with its name when there are more nodes again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    role: Role
    port: Port
    syslog: Port | None = None
    forward: Port | None = None
    present: bool = True

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"https://127.0.0.1:{self.port}"


class Wish(BaseModel):
    """What the command line asks for; what is None is left as it is, or to its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: Count | None = None
    query: Count | None = None
    store: StoreUrl | None = None
    durability: Durability | None = None
    edge: EdgeKind | None = None
    host: str | None = None
    port: Port | None = None


class Plan(BaseModel):
    """The fleet. Ports are chosen once and kept.

    `announced` says that the admin token was shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["muniment-up/1"] = "muniment-up/1"
    store: StoreUrl
    durability: Durability = Durability.LOCAL
    edge: EdgeKind = EdgeKind.HAPROXY
    host: str = "127.0.0.1"
    port: Port = 8443
    syslog: Port
    forward: Port
    announced: bool = False
    nodes: tuple[Planned, ...]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [node.name for node in self.nodes]
        ports = self._node_ports
        if len(set(names)) != len(names) or len(set(ports)) != len(ports):
            raise ValueError("two nodes have one name or one port")
        return self

    @property
    def url(self) -> str:
        """Where the fleet is reached: the edge, or the first query node where there is none."""
        if self.edge is EdgeKind.NONE:
            return self.present(Role.QUERY)[0].url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    @property
    def write_url(self) -> str:
        """Where entries are sent: the edge, or the first ingest node where there is none."""
        return self.present(Role.INGEST)[0].url if self.edge is EdgeKind.NONE else self.url

    @property
    def ports(self) -> list[int]:
        """Every port that was given."""
        return [self.port, self.syslog, self.forward, *self._node_ports]

    @property
    def _node_ports(self) -> list[int]:
        return [p for n in self.nodes for p in (n.port, n.syslog, n.forward) if p is not None]

    def present(self, role: Role | None = None) -> tuple[Planned, ...]:
        """Returns the nodes that are to run, of one role or of all."""
        return tuple(n for n in self.nodes if n.present and role in (None, n.role))

    def node(self, name: str) -> Planned | None:
        """Returns a node by its name."""
        return next((node for node in self.nodes if node.name == name), None)

    def sized(self, role: Role, count: int, ports: FreePorts) -> Plan:
        """Returns the plan with so many nodes of a role: the first come first and go last."""
        kept = [node for node in self.nodes if node.role is not role]
        known = {node.name: node for node in self.nodes if node.role is role}
        wanted = [f"{role}-{number}" for number in range(1, count + 1)]
        for name in wanted:
            if name not in known:
                known[name] = _new(name, role, ports)
        sized = [n.model_copy(update={"present": n.name in wanted}) for n in known.values()]
        return self.model_copy(update={"nodes": (*kept, *sized)})

    def without(self, names: Sequence[str]) -> Plan:
        """Returns the plan without some nodes, which can come back."""
        nodes = [
            n.model_copy(update={"present": n.present and n.name not in names}) for n in self.nodes
        ]
        return self.model_copy(update={"nodes": tuple(nodes)})

    def save(self, path: Path, disk: Disk) -> None:
        """Writes the plan durably. Raises OSError."""
        write_file(disk, path, f"{self.model_dump_json(indent=2)}\n".encode(), 0o600)


def load_plan(path: Path) -> Plan | None:
    """Reads a plan; None where there is none. Raises SettingsError for one that cannot be used."""
    try:
        return Plan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise SettingsError(f"{path} is no plan of a fleet: {_first(error)}") from error


def make_plan(places: Places, wish: Wish, before: Plan | None, ports: FreePorts) -> Plan:
    """Returns the plan that a wish and what is there already make.

    Raises SettingsError where the wish would change what a fleet keeps for its life: where its
    entries are stored, how durable they are, and whether an edge stands before the nodes.
    """
    if before is None:
        store = wish.store or places.store.as_uri()
        plan = Plan(store=store, syslog=ports.take(), forward=ports.take(), nodes=())
        plan = plan.sized(Role.INGEST, wish.nodes or 3, ports)
        plan = plan.sized(Role.QUERY, wish.query or 1, ports)
        fixed = {"durability": wish.durability} if wish.durability else {}
    else:
        plan, fixed = before, {}
        _check_kept("--store", before.store, wish.store, places)
        _check_kept("--durability", before.durability, wish.durability, places)
        if wish.edge is not None and EdgeKind.NONE in {wish.edge, before.edge}:
            _check_kept("--edge", before.edge, wish.edge, places)
        for role, count in ((Role.INGEST, wish.nodes), (Role.QUERY, wish.query)):
            if count is not None and count < len(plan.present(role)):
                raise SettingsError(
                    f"{places.folder} has {len(plan.present(role))} {role} nodes: start it as it "
                    "is, then `muniment up scale` takes nodes out without a loss"
                )
            if count is not None:
                plan = plan.sized(role, count, ports)
    free = {"edge": wish.edge, "host": wish.host, "port": wish.port}
    return plan.model_copy(update={**fixed, **{k: v for k, v in free.items() if v is not None}})


def _check_kept(option: str, there: object, wished: object, places: Places) -> None:
    if wished is not None and wished != there:
        raise SettingsError(
            f"{option}: the fleet in {places.folder} was made with {there}; make one in another "
            "folder for another"
        )


def _new(name: str, role: Role, ports: FreePorts) -> Planned:
    if role is not Role.INGEST:
        return Planned(name=name, role=role, port=ports.take())
    return Planned(
        name=name, role=role, port=ports.take(), syslog=ports.take(), forward=ports.take()
    )


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    return str(error)
