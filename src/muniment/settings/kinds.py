"""The kinds of values that settings have, each with a message that says what was wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

MIB = 1 << 20

_KEBAB = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
_SCOPE = re.compile(r"[A-Za-z0-9._-]{1,15}", re.ASCII)
_SOURCE = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)

Network = IPv4Network | IPv6Network


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
            _check_scope(host)
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


def _check_scope(text: str) -> None:
    """Raises ValueError where what is behind the `%` of an IPv6 address is no interface.

    The library takes any text there (RFC 4007), line ends too, and addresses stand in the
    configurations of other programs.
    """
    _, percent, scope = text.partition("%")
    if percent and not _SCOPE.fullmatch(scope):
        raise ValueError(f"{text!r}: behind % stands the name of an interface")


def _address(value: object) -> object:
    return Address.parse(value) if isinstance(value, str) else value


def _address_or_off(value: object) -> object:
    return None if value is None or value == "off" else _address(value)


def split_names(value: object) -> object:
    """Returns the names of a list that may be written as one text with commas."""
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


def _networks(value: object) -> object:
    given = split_names(value)
    if not isinstance(given, (list, tuple)):
        return given
    try:
        for text in given:
            if "%" in str(text):
                raise ValueError(f"{text!r} has an interface, which no network has")
        return tuple(ip_network(text) if isinstance(text, str) else text for text in given)
    except ValueError as error:
        raise ValueError(f"{error}: write networks such as 10.0.0.0/8, or addresses") from None


Name = Annotated[str, BeforeValidator(_name)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(split_names)]
Origin = Annotated[str, BeforeValidator(_origin)]
NodeName = Annotated[str, BeforeValidator(_node)]
NodeNames = Annotated[tuple[NodeName, ...], NoDecode, BeforeValidator(split_names)]
Source = Annotated[str, BeforeValidator(_source)]
Listen = Annotated[Address, NoDecode, BeforeValidator(_address)]
ListenOrOff = Annotated[Address | None, NoDecode, BeforeValidator(_address_or_off)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
