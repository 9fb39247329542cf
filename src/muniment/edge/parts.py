"""The tables of a description, below the fleet itself: what it listens on, allows and keeps."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, field_validator, model_validator

from muniment.edge.kinds import File, NameText, Place, PlaceText, ServerName, Tag, is_host
from muniment.settings.fleet import DNS, is_node_url
from muniment.settings.kinds import MIB, Listen, Networks

Role = Literal["ingest", "query", "watch"]
Stream_ = Literal["syslog", "forward"]


class Table(BaseModel):
    """A table of the description: no keys but those that are told."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Front(Table):
    """Where the edge listens for HTTP: `[listen]`.

    `http` answers nothing but a redirect to `https`. From the networks in `proxy_from` every
    connection begins with a PROXY header: another balancer stands there.
    """

    https: tuple[Listen, ...] = Field(min_length=1)
    http: Listen | None = None
    proxy_from: Networks = ()


class Tls(Table):
    """Certificates: the edge's own, its clients', its nodes'. Files hold chain and key in PEM.

    `nodes_name` is a DNS name that every node's certificate has, beside its own.
    """

    certificate: File
    client_ca: File | None = None
    client_certificates: Literal["optional", "required"] = "optional"
    minimum: Literal["1.2", "1.3"] = "1.2"
    nodes_ca: File | None = None
    node_certificate: File | None = None
    nodes_name: ServerName = ""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.client_certificates == "required" and self.client_ca is None:
            raise ValueError("client_certificates = required needs client_ca: who signed them")
        if self.node_certificate is not None and self.nodes_ca is None:
            raise ValueError("node_certificate is shown to nodes over TLS: set nodes_ca as well")
        return self


class Node(Table):
    """A node behind the edge. `state` is what the fleet's membership says of it.

    `tls_name` is the DNS name that its certificate must have: by default the host of `address`
    where that is a name, else the node's name.
    """

    name: NameText
    address: PlaceText
    roles: tuple[Role, ...] = ("ingest", "query")
    jurisdiction: Tag = ""
    region: Tag = ""
    tls_name: ServerName = ""
    listeners: dict[Stream_, PlaceText] = Field(default_factory=dict)
    state: Literal["starting", "ready", "draining", "left", "lost"] = "ready"

    @property
    def server_name(self) -> str:
        """The name in the node's certificate, as SNI and as what is compared."""
        return self.tls_name or (self.address.host if self.address.is_name else self.name)

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not is_host(self.server_name):
            raise ValueError(f"{self.name}: set tls_name, the DNS name in the node's certificate")
        return self


class Log(Table):
    """A log, and the jurisdiction that its entries never leave; empty: they may be anywhere."""

    name: NameText
    residency: Tag = ""


class Stream(Table):
    """A TCP listener of the edge for syslog or Fluentd forward: `[[stream]]`.

    `log` is the log that the nodes' listeners write to, whose residency then holds. Without `tls`
    senders speak plain text. `plain_to_nodes` says that the nodes' listeners do. `anonymous` says
    that whoever reaches it may write: needed where the edge asks nobody for a certificate.
    """

    protocol: Stream_
    listen: Listen
    tls: bool = True
    log: str = Field("", pattern=r"^([a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?)?$")
    plain_to_nodes: bool = False
    anonymous: bool = False


class Limits(Table):
    """What one client may do, and how long anything may take (seconds)."""

    requests: int = Field(200, ge=1, le=1_000_000)
    token_requests: int = Field(2_000, ge=1, le=1_000_000)
    connections: int = Field(100, ge=1, le=100_000)
    body: ByteSize = Field(ByteSize(16 * MIB), ge=1024, le=1024 * MIB)
    attachment: ByteSize = Field(ByteSize(1024 * MIB), ge=1024, le=1024 * 1024 * MIB)
    uri: int = Field(8_192, ge=256, le=16_384)
    header_timeout: int = Field(10, ge=1, le=600)
    body_timeout: int = Field(10, ge=1, le=600)
    idle: int = Field(60, ge=1, le=3_600)
    client: int = Field(30, ge=1, le=3_600)
    answer: int = Field(30, ge=1, le=3_600)
    stream_idle: int = Field(3_600, ge=1, le=86_400)
    node_connections: int = Field(256, ge=1, le=100_000)
    queue: int = Field(5, ge=1, le=600)
    retry_after: int = Field(2, ge=1, le=3_600)
    total_connections: int = Field(5_000, ge=100, le=1_000_000)
    stop: int = Field(30, ge=1, le=3_600)


class Allow(Table):
    """Networks that may come in; an empty list is everybody. `networks` holds for all."""

    networks: Networks = ()
    write: Networks = ()
    read: Networks = ()
    admin: Networks = ()


class Cache(Table):
    """The cache of what never changes. `size` is in MiB, 0 for none; `age` in seconds."""

    size: int = Field(64, ge=0, le=4_095)
    age: int = Field(60, ge=1, le=3_600)


class OwnLog(Table):
    """Where the edge's own access log goes: a syslog listener over TCP, with or without TLS."""

    to: PlaceText
    tls: bool = False
    tls_name: ServerName = ""

    @property
    def server_name(self) -> str:
        """The name in that listener's certificate."""
        return self.tls_name or self.to.host


class Members(Table):
    """Whom to ask for the nodes: addresses of any of them, or the name of a headless service."""

    of: tuple[str, ...] = Field(min_length=1)
    token: File | None = None
    interval: float = Field(default=2.0, ge=0.2, le=600)

    @field_validator("of")
    @classmethod
    def _can_be_asked(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for place in given:
            https = place.replace(f"{DNS}://", "https://", 1)
            if not https.startswith("https://") or not is_node_url(https):
                raise ValueError(
                    f"{place[:80]!r}: an edge asks nodes: write https://HOST:PORT or dns://NAME:PORT"
                )
        return given


__all__ = [
    "Allow",
    "Cache",
    "Front",
    "Limits",
    "Log",
    "Members",
    "Node",
    "OwnLog",
    "Place",
    "Role",
    "Stream",
    "Table",
    "Tls",
]
