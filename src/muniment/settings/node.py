"""The settings of a node: command line, then `MUNIMENT_*` variables, then TOML, then defaults."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import ByteSize, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from muniment.errors import SettingsError
from muniment.settings.agreement import check_fleet, check_stores
from muniment.settings.fleet import FleetSettings, Residency, Role, Roles
from muniment.settings.kinds import (
    MIB,
    Address,
    Listen,
    ListenOrOff,
    Name,
    Names,
    Networks,
    NodeName,
    NodeNames,
    Origin,
    Source,
)
from muniment.settings.listener import Listener, Protocol
from muniment.settings.store import (
    Durability,
    Duration,
    DurationOrOff,
    Retention,
    StoreSettings,
    WalSettings,
)

PREFIX = "MUNIMENT_"
CONFIG_FILE = Path("muniment.toml")

_OTHERS = frozenset(
    f"{PREFIX}{name}" for name in ("TOKEN", "URL", "LOG", "CONFIG", "CAPTURE", "KERNEL")
)
"""Variables that belong to the client commands or to every command, or name the file itself."""

_KUBERNETES = re.compile(r"MUNIMENT_(SERVICE_(HOST|PORT)\w*|PORT(_\d+_\w+)?|\w+_SERVICE_\w+)")
"""What Kubernetes puts into each container beside a Service called `muniment`."""


def default_node() -> str:
    """Returns this machine's host name, as far as it can stand in a header."""
    return re.sub(r"[^!-~]|[\"\\]", "-", socket.gethostname())[:64] or "node"


class Settings(BaseSettings):
    """All settings; make one with `load`. Sizes take `64MiB` or plain bytes, times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data: Path = Path("muniment-data")
    listen: Listen = Address("127.0.0.1", 8470)
    logs: Names = ("default",)
    origin: Origin = "muniment.local"
    node: NodeName = Field(default_factory=default_node)
    sources: Path | None = None
    sources_python: bool = False

    syslog: ListenOrOff = Address("127.0.0.1", 5514)
    syslog_as: Source = "syslog"
    syslog_log: Name = "default"
    syslog_buffer: ByteSize = Field(ByteSize(64 * MIB), ge=MIB, le=4096 * MIB)
    syslog_connections: int = Field(1_000, ge=1, le=100_000)
    syslog_idle: float = Field(3_600.0, ge=1)
    receive: tuple[Listener, ...] = ()

    durability: Durability = Durability.LOCAL
    store: tuple[StoreSettings, ...] = ()
    wal: WalSettings | None = None
    retention: dict[str, Retention] = Field(default_factory=dict)
    segment_size: ByteSize = Field(ByteSize(64 * MIB), ge=MIB, le=1024 * MIB)
    segment_age: Duration = Field(timedelta(days=1), ge=timedelta(seconds=1))
    cache_size: ByteSize | None = Field(None, ge=MIB)
    cache_age: Duration | None = None
    worm_check: DurationOrOff = timedelta(days=1)
    retention_interval: Duration = Field(timedelta(hours=1), ge=timedelta(seconds=1))

    roles: Roles = (Role.INGEST, Role.QUERY, Role.WATCH)
    jurisdiction: Name | None = None
    region: Name | None = None
    residency: Residency = Field(default_factory=dict)
    fleet: FleetSettings | None = None
    drain: float = Field(0.0, ge=0, le=600)

    completeness: bool = True
    completeness_interval: float = Field(10.0, gt=0, le=3_600)
    completeness_grace: float = Field(30.0, gt=0, le=3_600)

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    edges: NodeNames = ()
    writers: NodeNames = ()
    tokens: Path | None = None
    probe_listen: ListenOrOff = None
    proxy_from: Networks = ()
    require_tokens: bool = False
    serve_without_tls_and_tokens: bool = False

    max_body: ByteSize = Field(ByteSize(16 * MIB), ge=1024, le=1024 * MIB)
    max_decompressed: ByteSize = Field(ByteSize(64 * MIB), ge=1024, le=1024 * MIB)
    max_bodies: ByteSize = Field(ByteSize(256 * MIB), ge=MIB, le=65_536 * MIB)
    max_attachment: ByteSize = Field(ByteSize(1024 * MIB), ge=1024, le=1024 * 1024 * MIB)
    max_connections: int = Field(2_000, ge=1, le=100_000)
    header_timeout: float = Field(10.0, gt=0, le=600)
    body_timeout: float = Field(10.0, gt=0, le=600)
    min_body_rate: int = Field(1_024, ge=1)
    keep_alive: int = Field(75, ge=1, le=3_600)
    max_tails: int = Field(100, ge=1, le=10_000)
    max_index_lag: int = Field(10_000_000, ge=0)
    queue: ByteSize = Field(ByteSize(64 * MIB), ge=MIB, le=4096 * MIB)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: set both or neither")
        if not self.logs or len(set(self.logs)) != len(self.logs):
            raise ValueError("logs names each log once, and at least one")
        for name, log in self._targets():
            if log not in self.logs:
                raise ValueError(f"{name}: there is no log {log!r} in logs")
        groups = [one.group for one in self.receive if one.protocol is Protocol.KAFKA]
        if len(set(groups)) != len(groups):
            raise ValueError("receive: every kafka table has a group of its own")
        check_stores(self)
        check_fleet(self)
        if self.max_bodies < self.max_body:
            raise ValueError("max_bodies is the memory of all bodies together: not below max_body")
        return self

    def _targets(self) -> Iterator[tuple[str, str]]:
        """The logs that receivers write to, each with the name of the setting that says so."""
        if self.syslog is not None:
            yield "syslog_log", self.syslog_log
        for number, listener in enumerate(self.receive):
            if listener.log is not None:
                yield f"receive.{number}.log", listener.log

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Every listener beside the main one: that of `syslog`, then those of `receive`.

        A node that takes no entries has none.
        """
        if Role.INGEST not in self.roles:
            return ()
        if self.syslog is None:
            return self.receive
        syslog = {
            "protocol": Protocol.SYSLOG,
            "listen": self.syslog,
            "log": self.syslog_log,
            "as": self.syslog_as,
            "buffer": self.syslog_buffer,
            "max_connections": self.syslog_connections,
            "idle": self.syslog_idle,
        }
        return (Listener.model_validate(syslog), *self.receive)

    @property
    def tls(self) -> bool:
        """Whether HTTP is spoken over TLS."""
        return self.tls_certificate is not None

    @property
    def tokens_required(self) -> bool:
        """Whether a call without a token is refused, wherever it comes from."""
        if self.serve_without_tls_and_tokens:
            return self.require_tokens
        strangers = not self.listen.is_loopback or self.tls_client_ca is not None
        return self.require_tokens or strangers

    def check_exposure(self) -> None:
        """Raises SettingsError where the settings would let strangers write or read."""
        if self.serve_without_tls_and_tokens:
            return
        if not self.listen.is_loopback and not self.tls:
            raise SettingsError(
                f"listening on {self.listen} lets other machines in: set tls_certificate and "
                "tls_key (tokens are then required for every call), listen on 127.0.0.1, or say "
                "--serve-without-tls-and-tokens if everybody who can reach it may write and read"
            )
        for listener in self.listeners:
            listener.check_exposure()


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Returns the settings: `overrides` (the command line) over the environment over TOML.

    `config` must exist when it is given; `./muniment.toml` is read where it is there. Raises
    SettingsError naming the key that is unknown or wrong, or an unsafe combination.
    """
    environment = os.environ if environment is None else environment
    if config is None and environment.get("MUNIMENT_CONFIG"):
        config = Path(environment["MUNIMENT_CONFIG"])
    _check_variables(environment)
    file = config if config is not None else CONFIG_FILE
    if config is not None and not config.is_file():
        raise SettingsError(f"{config}: there is no such file")
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    try:
        settings = _sourced(file)(**given)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not TOML: {error}") from error
    except ValidationError as error:
        raise SettingsError("; ".join(_complaints(error, file))) from error
    settings.check_exposure()
    return settings


def _sourced(file: Path) -> type[Settings]:
    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    return Sourced


def _check_variables(environment: Mapping[str, str]) -> None:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | _OTHERS
    for name in environment:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in known and not _KUBERNETES.fullmatch(upper):
            raise SettingsError(f"the variable {name} names no setting")


def _complaints(error: ValidationError, file: Path) -> list[str]:
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            found.append(f"{key}: there is no such setting (see {file} and the command line)")
        else:
            text = detail["msg"].removeprefix("Value error, ")
            found.append(f"{key}: {text}" if key else text)
    return found
