"""The decision about each call: who calls, and whether a browser was made to call.

The guard sees header values and knows no framework. A listener on loopback trusts the local user
without a token, and a browser runs other people's pages as that user. Two rules keep those out:
the Host must be a loopback name (a rebound DNS name is not), and a page of another site may not
send anything but GET and HEAD.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from muniment.access.caller import ANYONE, LOCAL, Caller, Scope
from muniment.access.credentials import token_of
from muniment.access.tokens import Tokens
from muniment.errors import Forbidden, Unauthenticated

_SAFE = frozenset({"GET", "HEAD"})
_SAME = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True)
class Call:
    """What the guard looks at; a header that was not sent is None, one sent twice is joined.

    `certificate` names the client certificate that TLS verified; empty where there is none.
    """

    method: str
    host: str | None = None
    authorization: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    forwarded: bool = False
    certificate: str = ""


class Guard:
    """Admits calls. `open_to_all` is the operator's word that whoever gets here may call."""

    def __init__(self, tokens: Tokens, *, required: bool, open_to_all: bool = False) -> None:
        self._tokens = tokens
        self._required = required
        self._open_to_all = open_to_all and not required

    def admit(self, call: Call) -> Caller:
        """Returns the caller. Raises Unauthenticated or Forbidden.

        A token that is shown must be valid, even where none is needed. A verified client
        certificate gives the right to write; a browser shows one for other people's pages, too.
        """
        if call.authorization is not None:
            return self._tokens.authenticate(token_of(call.authorization))
        if call.certificate:
            _check_page(call)
            return Caller(call.certificate, frozenset({Scope.WRITE}))
        if self._required:
            raise Unauthenticated("this call needs a token: Authorization: Bearer mun_...")
        self.check_browser(call)
        if self._open_to_all:
            return ANYONE
        if call.forwarded:
            raise Unauthenticated(
                "this call was forwarded by a proxy, so that it need not be the local user's: "
                "show a token"
            )
        return LOCAL

    def check_browser(self, call: Call) -> None:
        """Raises Forbidden where a page of another site is behind the call."""
        if not self._open_to_all and not _is_loopback(call.host):
            raise Forbidden(
                "without a token, this server answers only to a loopback name: use "
                "http://127.0.0.1 or http://localhost"
            )
        _check_page(call)


def _check_page(call: Call) -> None:
    if call.method in _SAFE:
        return
    if call.fetch_site is not None and call.fetch_site not in _SAME:
        raise Forbidden("a page of another site may not do this")
    if call.origin is not None and _authority(call.origin) != (call.host or "").lower():
        raise Forbidden("a page of another origin may not do this")


def _authority(origin: str) -> str:
    return origin.lower().partition("://")[2]


_MAX_HOST = 255


def _is_loopback(host: str | None) -> bool:
    return host is not None and len(host) <= _MAX_HOST and _names_loopback(host.lower())


@lru_cache(maxsize=64)
def _names_loopback(name: str) -> bool:
    if name.startswith("["):
        name, bracket, port = name[1:].partition("]")
        if not bracket or (port and port[0] != ":"):
            return False
        port = port[1:]
    else:
        name, _, port = name.partition(":")
    if port and not port.isdigit():
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
