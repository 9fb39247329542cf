"""The kinds of values that a description has: nothing of them can end a line of a configuration.

Every text is held to a small set of characters, so that what is rendered from it is one word of the
balancer's language, whatever was written into the description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
                   r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\.?", re.ASCII)  # fmt: skip
_PATH = re.compile(r"[A-Za-z0-9_./@+=:, -]{1,4096}", re.ASCII)
_NO_PLACES = ("any", "unknown", "none")
"""What the balancers' own maps say where a log may be anywhere, or nobody has said where."""

_JURISDICTION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something can be reached: an IP address or a DNS name, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Reads `10.0.0.5:8470`, `[::1]:8470` or `node-1.example:8470`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        digits = port.isascii() and port.isdigit() and len(port) <= 5
        if not colon or not digits or not 0 < int(port) <= 65_535:
            raise ValueError(f"{text[:80]!r} is no place; write HOST:PORT, such as 10.0.0.5:8470")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if ":" not in host:
                raise ValueError(f"{text[:80]!r}: only an IPv6 address stands in brackets")
        elif ":" in host:
            raise ValueError(f"{text[:80]!r}: an IPv6 address stands in brackets, as in [::1]:8470")
        if is_address(host):
            return cls(str(ip_address(host)), int(port))
        if "%" in host or not _HOST.fullmatch(host.lower()):
            raise ValueError(f"{text[:80]!r}: {host[:80]!r} is no IP address and no host name")
        return cls(host.lower(), int(port))

    @property
    def is_name(self) -> bool:
        """Whether the host is a DNS name rather than an address."""
        return not is_address(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.is_name:
            return self.host == "localhost"
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_address(host: str) -> bool:
    """Whether a text is an IP address; one with a zone (`fe80::1%eth0`) is not."""
    try:
        return "%" not in host and bool(ip_address(host))
    except ValueError:
        return False


def is_host(name: str) -> bool:
    """Whether a text is a DNS name in lower case."""
    return bool(_HOST.fullmatch(name))


def _place(value: object) -> object:
    return Place.parse(value) if isinstance(value, str) else value


def _name(value: object) -> object:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{str(value)[:80]!r} is no name; use a-z, 0-9, `.`, `_`, `-`, 64 at most")
    return value


def _tag(value: object) -> object:
    if value in _NO_PLACES:
        raise ValueError(f"{value!r} is no place: say nothing where it is all the same")
    if value != "" and (not isinstance(value, str) or not _JURISDICTION.fullmatch(value)):
        raise ValueError(
            f"{str(value)[:80]!r}: use a-z, 0-9 and `-`, 32 at most, such as eu-west-1"
        )
    return value


def _server_name(value: object) -> object:
    if value != "" and (not isinstance(value, str) or not is_host(value) or is_address(value)):
        raise ValueError(f"{str(value)[:80]!r} is no DNS name, as stands in a certificate")
    return value


def _file(value: object) -> object:
    text = str(value)
    if not _PATH.fullmatch(text) or text != text.strip():
        raise ValueError(
            f"{text[:80]!r} cannot stand in a configuration; use letters without accents, digits "
            "and _./@+=:,- in the paths of files"
        )
    return value


PlaceText = Annotated[Place, BeforeValidator(_place)]
NameText = Annotated[str, BeforeValidator(_name)]
Tag = Annotated[str, BeforeValidator(_tag)]
ServerName = Annotated[str, BeforeValidator(_server_name)]
File = Annotated[Path, BeforeValidator(_file)]
