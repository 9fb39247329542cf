"""Requests whose end two parsers could see at different places: refused, whoever sends them.

The parser refuses most of what RFC 9112 says is ambiguous (section 6.3, and 11.2 on smuggling):
both lengths, two of them, bare LF, folded lines, odd chunks. What it lets pass is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence

from muniment.errors import InputError


def check_framing(version: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises InputError for a head that is ambiguous. `headers` have lower-case names.

    `version` is what the request line says, as `1.1`.
    """
    hosts = 0
    coded = False
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            if coded or value.strip().lower() != b"chunked":
                raise InputError("chunked, once, is the only Transfer-Encoding here")
            coded = True
    if hosts > 1:
        raise InputError("the request has more than one Host")
    if version not in ("1.0", "1.1"):
        raise InputError(f"HTTP/{version} is not spoken here")
    if coded and version != "1.1":
        raise InputError("there is no Transfer-Encoding in HTTP/1.0")
