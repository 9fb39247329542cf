"""Who is at the other end of an HTTP connection, and for whom it speaks in each request.

A client certificate is judged once, when the connection begins; what an edge says is judged for
each request, so that the clients of one connection are never mixed up.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from muniment.access.spoken_for import spoken_for
from muniment.api.context import Context
from muniment.api.doors import Door
from muniment.receive.tls import certificate_name, certificate_names


@dataclass(frozen=True, slots=True)
class Identity:
    """What a connection's verified certificate says.

    `shown` is `cert:<name>`, empty without a certificate. `certificate` is the same where it gives
    the right to write. An `edge` has no right of its own: it speaks for its clients.
    """

    shown: str = ""
    certificate: str = ""
    edge: bool = False

    @classmethod
    def of(cls, found: ssl.SSLObject | None, context: Context, door: Door) -> Self:
        """Judges the certificate of a connection whose handshake is done."""
        name = certificate_name(found)
        if not name:
            return cls()
        shown, names = f"cert:{name}", certificate_names(found)
        if names & context.edges:
            return cls(shown, edge=True)
        writes = door.writers is None or bool(names & door.writers)
        return cls(shown, shown if writes else "")

    def tell(self, scope: Any, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Puts into a request's scope who its client is: `client`, and in `state` the certificate.

        `headers` are all that the request has. Raises InputError where an edge says what it may
        not.
        """
        if not self.shown:
            return
        state = scope["state"]
        state["shown"] = self.shown
        if not self.edge:
            state["certificate"] = self.certificate
            return
        client = spoken_for(headers)
        state["forwarded"] = True
        state["certificate"] = f"cert:{client.name}" if client.name else ""
        if client.address:
            scope["client"] = (client.address, 0)
