"""One listener of a node: a `[[receive]]` table of the settings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, model_validator

from muniment.errors import SettingsError
from muniment.settings.kinds import MIB, Listen, Name, Networks, Source


class Protocol(StrEnum):
    """What can be received on a listener of its own. `http` is every protocol over HTTP."""

    SYSLOG = "syslog"
    FORWARD = "forward"
    GRPC = "grpc"
    HTTP = "http"
    OTLP = "otlp"
    ELASTIC = "elastic"
    LOKI = "loki"
    SPLUNK = "splunk"
    KUBERNETES = "kubernetes"
    CLOUDEVENTS = "cloudevents"
    CAPTURE = "capture"
    KAFKA = "kafka"

    @property
    def is_http(self) -> bool:
        """Whether it is spoken over HTTP."""
        return self not in (Protocol.SYSLOG, Protocol.FORWARD, Protocol.GRPC, Protocol.KAFKA)


_FORWARD_ONLY = ("shared_key", "users", "hostname")
_KAFKA_ONLY = ("brokers", "topics", "group", "options")


class Listener(BaseModel):
    """One protocol on one address (for Kafka: from one cluster), into one log.

    `source` (in TOML: `as`) names the parser: of the messages of syslog, of the lines inside the
    envelopes of all other protocols. Where `log` is missing, the sender's token, the path or the
    first log decides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    protocol: Protocol
    listen: Listen | None = None
    log: Name | None = None
    source: Source | None = Field(None, alias="as")
    udp: bool = True
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    proxy_from: Networks = ()
    anonymous: bool = False
    max_connections: int = Field(1_000, ge=1, le=100_000)
    idle: float = Field(3_600.0, ge=1)
    buffer: ByteSize = Field(ByteSize(64 * MIB), ge=MIB, le=4096 * MIB)

    shared_key: SecretStr | None = None
    users: dict[str, SecretStr] = Field(default_factory=dict)
    hostname: str | None = Field(None, pattern=r"^[!-~]{1,255}$")

    brokers: str | None = None
    topics: tuple[str, ...] = ()
    group: str = "muniment"
    options: dict[str, SecretStr] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        kafka = self.protocol is Protocol.KAFKA
        if kafka and not (self.brokers and self.topics):
            raise ValueError("kafka needs brokers and topics")
        if (self.listen is None) != kafka:
            raise ValueError("kafka has no listen" if kafka else "listen is missing")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: set both or neither")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if self.users and self.shared_key is None:
            raise ValueError("users are asked for after the shared_key: set one")
        if kafka and self.proxy_from:
            raise ValueError("kafka has no proxy_from: it connects, and accepts nobody")
        self._check_keys()
        return self

    def _check_keys(self) -> None:
        for names, whose in ((_FORWARD_ONLY, Protocol.FORWARD), (_KAFKA_ONLY, Protocol.KAFKA)):
            wrong = [name for name in names if name in self.model_fields_set]
            if wrong and self.protocol is not whose:
                raise ValueError(f"{wrong[0]} is a key of {whose}, not of {self.protocol}")

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls_certificate is not None

    @property
    def authenticates(self) -> bool:
        """Whether every sender has to show who it is."""
        if self.protocol.is_http or self.protocol is Protocol.GRPC:
            return True  # by a token where it is not on loopback
        return self.tls_client_ca is not None or self.shared_key is not None

    def check_exposure(self) -> None:
        """Raises SettingsError where strangers could write, or read secrets on their way."""
        if self.listen is None or self.anonymous:
            return
        if self.listen.is_loopback and not self.proxy_from:
            return
        where = f"{self.protocol} on {self.listen}"
        if not self.tls and not self.listen.is_loopback:
            raise SettingsError(
                f"{where} would be plain text: set tls_certificate and tls_key{_OR}"
            )
        if not self.authenticates:
            key = " or shared_key" if self.protocol is Protocol.FORWARD else ""
            through = ", through proxy_from" if self.listen.is_loopback else ""
            raise SettingsError(
                f"{where} would take entries from anybody{through}: set tls_client_ca{key}{_OR}"
            )


_OR = (
    " in its [[receive]] table, or use a loopback address; if everybody who can reach it may "
    "write, say anonymous = true there, or --serve-without-tls-and-tokens for all listeners"
)
