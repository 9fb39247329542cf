"""The settings of a node: command line, then `MUNIMENT_*` variables, then TOML, then defaults."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from muniment.errors import SettingsError

PREFIX = "MUNIMENT_"
CONFIG_FILE = Path("muniment.toml")

_OTHERS = frozenset(
    {"MUNIMENT_TOKEN", "MUNIMENT_URL", "MUNIMENT_LOG", "MUNIMENT_CONFIG", "MUNIMENT_KERNEL"}
)
"""Variables that belong to the client commands or to every command, or name the file itself."""

_KUBERNETES = re.compile(r"MUNIMENT_(SERVICE_(HOST|PORT)\w*|PORT(_\d+_\w+)?|\w+_SERVICE_\w+)")
"""What Kubernetes puts into each container beside a Service called `muniment`."""

_KEBAB = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
_SOURCE = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port to listen on; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads `127.0.0.1:8470`, `[::1]:8470` or `localhost:8470`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
            raise ValueError(f"{text!r} is not an address; write IP:PORT, such as 127.0.0.1:8470")
        if host == "localhost":
            host = "127.0.0.1"
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:8470")
        try:
            ip_address(host)
        except ValueError:
            advice = "write an IP address of this machine; 0.0.0.0 and [::] mean all of them"
            raise ValueError(f"{text!r}: {host!r} is not an IP address; {advice}") from None
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(value: object) -> object:
    return Address.parse(value) if isinstance(value, str) else value


def _address_or_off(value: object) -> object:
    return None if value is None or value == "off" else _address(value)


def _names(value: object) -> object:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _name(value: str) -> str:
    if not _KEBAB.fullmatch(value):
        raise ValueError(f"{value!r} is no name; use a-z, 0-9, `.`, `_` and `-`, 64 at most")
    return value


def _origin(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9.-]{1,128}(/[a-z0-9._-]{1,64}){0,4}", value, re.ASCII):
        raise ValueError(f"{value!r} is no origin; use a host name such as logs.example.com")
    return value


def _node(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,64}", value, re.ASCII) or '"' in value or "\\" in value:
        raise ValueError("a node name is 1 to 64 printable characters without spaces and quotes")
    return value


def _source(value: str) -> str:
    if not _SOURCE.fullmatch(value):
        raise ValueError(f"{value!r} is no source; use a-z, 0-9, `.`, `_` and `-`, 64 at most")
    return value


Name = Annotated[str, BeforeValidator(_name)]
Listen = Annotated[Address, NoDecode, BeforeValidator(_address)]
ListenOrOff = Annotated[Address | None, NoDecode, BeforeValidator(_address_or_off)]
MIB = 1 << 20


def default_node() -> str:
    """Returns this machine's host name, as far as it can stand in a header."""
    return re.sub(r"[^!-~]|[\"\\]", "-", socket.gethostname())[:64] or "node"


class Settings(BaseSettings):
    """All settings; make one with `load`. Sizes take `64MiB` or plain bytes, times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data: Path = Path("muniment-data")
    listen: Listen = Address("127.0.0.1", 8470)
    logs: Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_names)] = ("default",)
    origin: Annotated[str, BeforeValidator(_origin)] = "muniment.local"
    node: Annotated[str, BeforeValidator(_node)] = Field(default_factory=default_node)

    syslog: ListenOrOff = Address("127.0.0.1", 5514)
    syslog_as: Annotated[str, BeforeValidator(_source)] = "syslog"
    syslog_log: Name = "default"
    syslog_buffer: ByteSize = Field(ByteSize(64 * MIB), ge=MIB, le=4096 * MIB)
    syslog_connections: int = Field(1_000, ge=1, le=100_000)
    syslog_idle: float = Field(3_600.0, ge=1)

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    require_tokens: bool = False
    serve_without_tls_and_tokens: bool = False

    max_body: ByteSize = Field(ByteSize(16 * MIB), ge=1024, le=1024 * MIB)
    max_decompressed: ByteSize = Field(ByteSize(64 * MIB), ge=1024, le=1024 * MIB)
    max_bodies: ByteSize = Field(ByteSize(256 * MIB), ge=MIB, le=65_536 * MIB)
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
        if self.syslog is not None and self.syslog_log not in self.logs:
            raise ValueError(f"syslog_log: there is no log {self.syslog_log!r} in logs")
        if self.max_bodies < self.max_body:
            raise ValueError("max_bodies is the memory of all bodies together: not below max_body")
        return self

    @property
    def tls(self) -> bool:
        """Whether HTTP is spoken over TLS."""
        return self.tls_certificate is not None

    @property
    def tokens_required(self) -> bool:
        """Whether a call without a token is refused, wherever it comes from."""
        if self.serve_without_tls_and_tokens:
            return self.require_tokens
        return self.require_tokens or not self.listen.is_loopback

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
        if self.syslog is not None and not self.syslog.is_loopback:
            raise SettingsError(
                f"syslog on {self.syslog} would be plain text from anybody, for this version has "
                "no syslog over TLS: use a loopback address, `--syslog off`, or say "
                "--serve-without-tls-and-tokens if everybody who can reach it may write"
            )


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
