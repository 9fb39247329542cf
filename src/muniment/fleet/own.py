"""What this node says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Protocol

from muniment import __version__
from muniment.fleet.member import Member, ShardState, State
from muniment.settings import Settings


class Reader(Protocol):
    """What is asked of a shard's reader."""

    @property
    def minimum(self) -> int: ...


class Shard(Protocol):
    """What is told of a shard. See muniment.log.Shard."""

    verifier: str

    @property
    def reader(self) -> Reader: ...
    @property
    def size(self) -> int: ...
    @property
    def writable(self) -> bool: ...


class Own:
    """Makes this node's record. `state` is set by whoever starts and stops it.

    `shards` are read anew each time; `addresses` are names and addresses of what it receives by.
    """

    def __init__(
        self, settings: Settings, shards: Mapping[str, Mapping[str, Shard]], incarnation: str
    ) -> None:
        self.state = State.STARTING
        self.url = settings.fleet.url if settings.fleet is not None else ""
        self.addresses: Callable[[], Sequence[tuple[str, str]]] = lambda: ()
        self._settings, self._shards = settings, shards
        self._incarnation, self._beats = incarnation, count(1)

    def member(self) -> Member:
        """Returns the record as of now."""
        settings = self._settings
        return Member(
            node=settings.node,
            url=self.url,
            roles=settings.roles,
            state=self.state,
            incarnation=self._incarnation,
            beat=next(self._beats),
            version=__version__,
            region=settings.region or "",
            jurisdiction=settings.jurisdiction or "",
            shards={
                log: {name: state_of(shard) for name, shard in list(shards.items())}
                for log, shards in list(self._shards.items())
            },
            residency=settings.residency,
            listeners=dict(self.addresses()),
        )


def state_of(shard: Shard) -> ShardState:
    """Returns what is told of a shard."""
    return ShardState(shard.size, shard.verifier, shard.writable, shard.reader.minimum)
