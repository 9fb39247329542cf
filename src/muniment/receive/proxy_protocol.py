"""The PROXY protocol, versions 1 and 2: who the client of a load balancer is.

Pure: bytes to a client. It stands at the very beginning of a connection, before TLS, and only the
configured proxies are believed (see accept.py). Source: the specification that HAProxy publishes
(doc/proxy-protocol.txt), sections 2.1 and 2.2.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from muniment.errors import InputError

MAX_V1 = 107
"""The longest line of version 1, its CR LF included."""

MAX_V2 = 4_096
"""A header of version 2 with what stands behind the addresses (TLVs), which is passed over."""

Client = tuple[str, int]

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = len(_V2) + 4
_ADDRESS_BYTES = {0: 0, 1: 12, 2: 36, 3: 216}
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")


def extent(data: bytes) -> tuple[int, bool]:
    """Returns how many of these first bytes of a connection are its header's; whether it is whole.

    Raises InputError as soon as they cannot begin a header.
    """
    if data[: len(_V1)] == _V1[: len(data)]:
        return _extent_v1(data)
    if data[: len(_V2)] == _V2[: len(data)]:
        return _extent_v2(data)
    raise InputError("the connection does not begin with a PROXY header")


def _extent_v1(data: bytes) -> tuple[int, bool]:
    end = data.find(b"\n", 0, MAX_V1)
    if end >= 0:
        return end + 1, True
    if len(data) >= MAX_V1:
        raise InputError(f"the PROXY line is longer than {MAX_V1} bytes")
    return len(data), False


def _extent_v2(data: bytes) -> tuple[int, bool]:
    if len(data) < _V2_FIXED:
        return len(data), False
    size = _V2_FIXED + int.from_bytes(data[_V2_FIXED - 2 : _V2_FIXED], "big")
    if size > MAX_V2:
        raise InputError(f"the PROXY header is longer than {MAX_V2:,} bytes")
    return min(size, len(data)), size <= len(data)


def parse(header: bytes) -> Client | None:
    """Returns the client that a whole header names: its address and port.

    None where the connection is the proxy's own (LOCAL), or the client's address is of no kind
    that an `ip:port` can say (UNKNOWN, a Unix socket). Raises InputError.
    """
    return _parse_v1(header) if header.startswith(_V1) else _parse_v2(header)


def _parse_v1(header: bytes) -> Client | None:
    if not header.endswith(b"\r\n"):
        raise InputError("the PROXY line does not end in CR LF")
    fields = header[:-2].decode("latin-1").split(" ")
    if fields[1] == "UNKNOWN":
        return None
    if len(fields) != 6 or fields[1] not in ("TCP4", "TCP6"):
        raise InputError("the PROXY line is malformed")
    kind = IPv4Address if fields[1] == "TCP4" else IPv6Address
    try:
        source, _ = kind(fields[2]), kind(fields[3])
    except ValueError:
        raise InputError("the PROXY line has a malformed address") from None
    if "%" in fields[2] or not all(_is_port(port) for port in fields[4:]):
        raise InputError("the PROXY line has a malformed address")
    return str(source), int(fields[4])


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) < 1 << 16


def _parse_v2(header: bytes) -> Client | None:
    command, kind = header[len(_V2)], header[len(_V2) + 1]
    if command not in (0x20, 0x21):
        raise InputError(f"the PROXY header has the version and command 0x{command:02x}")
    if command == 0x20:
        return None
    family, transport = kind >> 4, kind & 0x0F
    if family not in _ADDRESS_BYTES or transport > 2:
        raise InputError(f"the PROXY header has the address family 0x{kind:02x}")
    addresses = header[_V2_FIXED:]
    if len(addresses) < _ADDRESS_BYTES[family]:
        raise InputError("the PROXY header is too short for its addresses")
    if family == 1:
        return str(IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10], "big")
    if family == 2:
        return str(IPv6Address(addresses[:16])), int.from_bytes(addresses[32:34], "big")
    return None
