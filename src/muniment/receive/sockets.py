"""Sockets of receivers: bound with a clear error, with room in the kernel, and its losses."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from muniment.errors import SettingsError
from muniment.settings import Address

RECEIVE_BUFFER = 32 << 20
PAIR_TRIES = 20
_SO_RCVBUFFORCE = 33
"""Linux: above the system's limit, for who may administer the network."""

_TABLES = {socket.AF_INET: Path("/proc/net/udp"), socket.AF_INET6: Path("/proc/net/udp6")}


def bind(address: Address, kind: socket.SocketKind) -> socket.socket:
    """Returns a bound, non-blocking socket. Raises SettingsError where it cannot be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    found = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address.host, address.port))
    except OSError as error:
        found.close()
        raise SettingsError(f"cannot listen on {address}: {error.strerror or error}") from error
    found.setblocking(False)
    return found


def bind_pair(address: Address) -> tuple[socket.socket, socket.socket]:
    """Returns a TCP and a UDP socket on the same port, also where any port would do.

    Raises SettingsError where they cannot be had.
    """
    tries = PAIR_TRIES if address.port == 0 else 1
    while True:
        tcp = bind(address, socket.SOCK_STREAM)
        try:
            return tcp, bind(bound_address(tcp), socket.SOCK_DGRAM)
        except SettingsError:
            tcp.close()
            tries -= 1
            if not tries:
                raise


def bound_address(found: socket.socket) -> Address:
    """Returns where a socket is bound."""
    host, port = found.getsockname()[:2]
    return Address(host, port)


def peer_text(peer: tuple[str, int] | None) -> str:
    """Returns `ip:port` of a peer, with brackets around IPv6; empty where it is not known.

    Without `:port` where that is 0: who speaks for a client may know its address only.
    """
    if not peer:
        return ""
    text = str(Address(peer[0], peer[1]))
    return text if peer[1] else text.removesuffix(":0")


def is_local(host: str) -> bool:
    """Whether an address is one of this machine alone; what is no address is not."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def widen(found: socket.socket, size: int = RECEIVE_BUFFER) -> int:
    """Asks for a receive buffer of `size` bytes; returns what the kernel gives."""
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    return found.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def kernel_drops(found: socket.socket) -> int:
    """Returns how many datagrams the kernel dropped for want of room; 0 where it does not say."""
    inode = str(os.fstat(found.fileno()).st_ino)
    try:
        lines = _TABLES[socket.AddressFamily(found.family)].read_text(encoding="ascii").splitlines()
    except (OSError, KeyError):
        return 0
    for line in lines[1:]:
        fields = line.split()
        if len(fields) > 12 and fields[9] == inode:
            return int(fields[12])
    return 0
