"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from muniment.errors import Forbidden


class Scope(StrEnum):
    """A right. `admin` is the right to manage access; it includes the other two."""

    ADMIN = "admin"
    WRITE = "write"
    READ = "read"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated sender; `name` is what stands in the receipt header under `from`.

    A caller that is bound to a log writes there and nowhere else.
    """

    name: str
    scopes: frozenset[Scope]
    log: str = ""

    def require(self, scope: Scope) -> None:
        """Raises Forbidden unless the caller has the right."""
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            raise Forbidden(f"{self.name} does not have the right to {_ACTS[scope]}")

    def choose_log(self, named: str, default: str) -> str:
        """Returns the log to write to: the one that is named, else the caller's, else `default`.

        Raises Forbidden where the caller is bound to another one.
        """
        if named and self.log and named != self.log:
            raise Forbidden(f"{self.name} may write to the log {self.log} only")
        return named or self.log or default


_ACTS = {Scope.ADMIN: "manage access", Scope.WRITE: "write", Scope.READ: "read"}

LOCAL = Caller("local", frozenset({Scope.WRITE, Scope.READ}))
"""The user of this machine, who needs no token on loopback."""

ANYONE = Caller("anyone", frozenset({Scope.WRITE, Scope.READ}))
"""Whoever reaches a listener that was told to do without TLS and tokens."""
