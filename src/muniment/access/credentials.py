"""The token in an Authorization header, as the clients of each protocol are able to send it.

- `Bearer TOKEN` (RFC 6750): whoever can be told a header;
- `Splunk TOKEN`: clients of the HTTP Event Collector;
- `ApiKey TOKEN`, or `ApiKey` and base64 of `ID:TOKEN`: clients of Elasticsearch;
- `Basic` and base64 of `USER:TOKEN` (RFC 7617): everything else. User and id do not matter.
"""

from __future__ import annotations

import binascii
from base64 import b64decode

from muniment.errors import Unauthenticated

MAX_CREDENTIALS = 1_024


def token_of(authorization: str) -> str:
    """Returns the token that the header shows. Raises Unauthenticated where it shows none."""
    scheme, _, shown = authorization.partition(" ")
    kind, shown = scheme.lower(), shown.strip()
    if not shown or len(shown) > MAX_CREDENTIALS:
        raise _unreadable()
    if kind in ("bearer", "splunk"):
        return shown
    if kind == "apikey" and shown.startswith("mun_"):
        return shown
    if kind in ("apikey", "basic"):
        return _after_colon(shown)
    raise _unreadable()


def _after_colon(shown: str) -> str:
    try:
        text = b64decode(shown, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _unreadable() from None
    token = text.partition(":")[2]
    if not token:
        raise _unreadable()
    return token


def _unreadable() -> Unauthenticated:
    return Unauthenticated(
        "show a token as: Authorization: Bearer mun_..., or as the password of Basic"
    )
