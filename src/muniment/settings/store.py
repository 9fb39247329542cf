"""Stores of a node: `[[store]]` tables, the `[wal]` table, and `[retention.LOG]` tables."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from muniment.settings.kinds import MIB, Name

SCHEMES = ("file", "s3", "az", "gs")
_DURATION = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d|y)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "y": 365 * 86_400}
_PREFIX = re.compile(r"[A-Za-z0-9._/-]*", re.ASCII)


class Durability(StrEnum):
    """When a batch is answered: durable on this node, or in the `[wal]` store as well."""

    LOCAL = "local"
    REPLICATED = "replicated"


class LockMode(StrEnum):
    """How objects in a store are locked; `off` is for stores that cannot."""

    COMPLIANCE = "compliance"
    GOVERNANCE = "governance"
    OFF = "off"


def _duration(value: object) -> object:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not found:
            raise ValueError(f"{value!r} is no duration; write 90d, 12h, 30m, 45s or 7y")
        return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.username or parts.password or parts.query or parts.fragment:  # it may be a secret
        raise ValueError("a URL has no user, `?` or `#`: secrets go into credentials or secret_key")
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{value!r}: write file:///PATH, s3://BUCKET/PREFIX, az:// or gs://")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/") or parts.path == "/":
            raise ValueError(f"{value!r}: write file:///PATH, with three slashes")
    elif not parts.netloc:
        raise ValueError(f"{value!r} names no bucket")
    elif not _PREFIX.fullmatch(parts.path) or "//" in parts.path or ".." in parts.path:
        raise ValueError(f"{value!r}: a prefix has letters, digits, `.`, `_`, `-` and single `/`")
    return value.rstrip("/")


def _duration_or_off(value: object) -> object:
    return None if value == "off" else _duration(value)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
DurationOrOff = Annotated[timedelta | None, BeforeValidator(_duration_or_off)]
StoreUrl = Annotated[str, BeforeValidator(_url)]


class Connection(BaseModel):
    """Where objects go, and as whom. What is not said is left to the provider's own SDK.

    `az://CONTAINER/PREFIX` and `gs://BUCKET/PREFIX` take `account` and `credentials` (a file). The
    S3 `endpoint` is a URL; plain http is for loopback and for `allow_http`. `jurisdiction` says
    under whose law the bytes lie.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: StoreUrl
    endpoint: str | None = Field(None, pattern=r"^https?://[^\s@?#]+$")
    region: str | None = Field(None, pattern=r"^[A-Za-z0-9-]{1,64}$")
    access_key: str | None = None
    secret_key: SecretStr | None = None
    account: str | None = None
    credentials: Path | None = None
    ca: Path | None = None
    allow_http: bool = False
    timeout: float = Field(30.0, gt=0, le=600)
    jurisdiction: Name | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together: set both or neither")
        if self.endpoint and self.endpoint.startswith("http:") and not self.allow_http:
            host = urlsplit(self.endpoint).hostname or ""
            if host not in ("127.0.0.1", "::1", "localhost"):
                raise ValueError("endpoint is plain http: use https, or say allow_http = true")
        return self

    @property
    def scheme(self) -> str:
        """`file`, `s3`, `az` or `gs`."""
        return urlsplit(self.url).scheme

    @property
    def place(self) -> tuple[str, str | None, str | None]:
        """What tells one place from another: a url means little without whose server it is on."""
        return self.url, self.endpoint, self.account

    @property
    def bucket(self) -> str:
        """The bucket or container; empty for `file`."""
        return urlsplit(self.url).netloc

    @property
    def prefix(self) -> str:
        """What stands before every key, without slashes at its ends; for `file` the folder."""
        path = urlsplit(self.url).path
        return path if self.scheme == "file" else path.strip("/")


class StoreSettings(Connection):
    """One `[[store]]`: where sealed segments and attachments go. The first one is the primary."""

    name: Name = "primary"
    lock: LockMode = LockMode.OFF


class WalSettings(Connection):
    """The `[wal]` store: unversioned, unlocked, with a put-if-absent that fences.

    Appends are gathered for `gather` seconds or `group` bytes, `in_flight` are on their way at a
    time; after `patience` seconds without success new batches are refused with 503.
    """

    group: ByteSize = Field(ByteSize(8 * MIB), ge=64 << 10, le=64 * MIB)
    gather: float = Field(0.002, ge=0, le=1)
    in_flight: int = Field(8, ge=1, le=64)
    patience: float = Field(5.0, gt=0, le=300)
    takeover_secret: Path | None = None


class Retention(BaseModel):
    """How long a log is kept: locked for `minimum` after a segment is sealed, gone after `maximum`.

    Neither set: it is kept for ever, and locked for as long as the store's own default says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum: Duration | None = None
    maximum: Duration | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.minimum and self.maximum and self.maximum < self.minimum:
            raise ValueError("maximum is below minimum")
        return self
