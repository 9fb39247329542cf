"""A node among others: its roles, its place, the `[fleet]` table."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import NoDecode

from muniment.settings.kinds import Name, split_names
from muniment.settings.store import Connection, DurationOrOff

STORE = "store"
DNS = "dns"
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)


class Role(StrEnum):
    """What a node does: own shards and take entries, mirror and search all shards, watch them."""

    INGEST = "ingest"
    QUERY = "query"
    WATCH = "watch"


Roles = Annotated[tuple[Role, ...], NoDecode, BeforeValidator(split_names)]


def _member(value: str) -> str:
    if value == STORE:
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
    host = parts.netloc.rpartition(":")[0]
    if parts.scheme not in ("https", "http", DNS) or not plain or not _HOST.fullmatch(host):
        port = None
    if port is None:
        raise ValueError(f"{value!r}: write https://HOST:PORT, dns://NAME:PORT or store")
    return value


def is_node_url(value: str) -> bool:
    """Whether it is https://HOST:PORT, or the same with http, and nothing more."""
    try:
        return value.startswith(("https://", "http://")) and _member(value) == value
    except ValueError:
        return False


Member = Annotated[str, BeforeValidator(_member)]


class FleetSettings(BaseModel):
    """The `[fleet]` table: how others reach this node, and how it finds and calls them.

    `members` are urls, `dns://NAME:PORT` (every address of the name), or `store`: each node tells
    of itself there every `heartbeat` seconds, in `[fleet.store]`, else in `[wal]`. A member that
    was silent for `lost_after` seconds is lost; its shards are taken over after `takeover`, where
    that is not off. `ca`, `certificate`, `key` and `token` (files) are shown to the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Member
    members: tuple[Member, ...] = Field(min_length=1, max_length=1_000)
    store: Connection | None = None
    heartbeat: float = Field(2.0, gt=0, le=60)
    lost_after: float = Field(10.0, gt=0, le=3_600)
    takeover: DurationOrOff = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not is_node_url(self.url):
            raise ValueError("url is how others reach this node: https://HOST:PORT")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: set both or neither")
        if self.lost_after < 3 * self.heartbeat:
            raise ValueError("lost_after is at least three heartbeats: one may be late")
        if self.takeover is not None and self.takeover < timedelta(seconds=self.lost_after):
            raise ValueError("takeover is not before lost_after")
        return self


Residency = dict[Name, Name]
"""The jurisdiction that each log may not leave."""
