"""For whom an edge speaks: what a balancer in front may say of its client, and nobody else.

An edge is known by its client certificate. It takes out what came from outside under these names
and says itself what it saw: the address of its client, and the name in the client certificate that
it verified. What is not exactly that is refused, for somebody is being let pass who should not be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from muniment.errors import InputError

ADDRESS = b"x-forwarded-for"
NAME = b"x-ssl-client-cn"
MAX_NAME = 128
_MAX_ADDRESS = 45

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._:@/+-]{0,126}[A-Za-z0-9._:@/+-])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Client:
    """The client of an edge: its IP address, and the name in its verified certificate.

    Either is empty where the edge says nothing of it.
    """

    address: str = ""
    name: str = ""


def spoken_for(headers: Iterable[tuple[bytes, bytes]]) -> Client:
    """Reads what an edge says in a request's headers (lower-case names). Raises InputError."""
    address: bytes | None = None
    name: bytes | None = None
    for key, value in headers:
        if key == ADDRESS:
            if address is not None:
                raise _more_than_one()
            address = value
        elif key == NAME:
            if name is not None:
                raise InputError("the edge names more than one client certificate")
            name = value
    return Client(_address(address) if address is not None else "", _name(name) if name else "")


def _address(value: bytes) -> str:
    if b"," in value:
        raise _more_than_one()
    text = value.decode("latin-1").strip()
    try:
        # A scope (`%eth0`) says nothing here, and would be text of the sender's choice.
        if len(text) > _MAX_ADDRESS or "%" in text:
            raise ValueError
        found = ip_address(text)
    except ValueError:
        raise InputError(
            "the X-Forwarded-For of the edge is no IP address",
            advice="an edge sends the one address that it saw itself, without a port",
        ) from None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _name(value: bytes) -> str:
    text = value.decode("latin-1").strip()
    if text and not _NAME.fullmatch(text):
        raise InputError(
            f"the X-SSL-Client-CN of the edge is no name of at most {MAX_NAME} plain characters",
            advice="a name has letters, digits, spaces and . _ : @ / + -",
        )
    return text


def _more_than_one() -> InputError:
    return InputError(
        "the edge names more than one address in X-Forwarded-For",
        advice="an edge replaces what came from outside with the one address that it saw itself",
    )
