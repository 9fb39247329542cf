"""What the handlers share: the open shards, the query process, the guard, the bounds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from starlette.requests import Request

from muniment.access import Guard, Tokens
from muniment.api.meters import Meters
from muniment.api.ports import Logs, Query, Shard
from muniment.budget import Budget
from muniment.clock import Clock, SystemClock
from muniment.errors import LogElsewhere, UnknownLog, UnknownShard
from muniment.fleet.everywhere import kept_everywhere
from muniment.fleet.members import Membership
from muniment.fleet.mirror import Mirrors
from muniment.fleet.own import Own
from muniment.receive.lag_bound import LagBound
from muniment.store.archive import Archive
from muniment.store.attachments import Attachments
from muniment.store.retention.follow import Retention
from muniment.store.wal import Claim
from muniment.store.worm import WormWatch
from muniment.watch import Completeness

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the HTTP face: bytes, counts, seconds, bytes a second."""

    body: int = 16 * MIB
    decompressed: int = 64 * MIB
    bodies: int = 256 * MIB
    connections: int = 2_000
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    body_rate: int = 1_024
    keep_alive_seconds: int = 75
    tails: int = 100
    index_lag: int = 10_000_000


@dataclass(slots=True)
class Context:
    """Everything a handler may use.

    `starting` is true until search is there for the first time; `draining` once the node is told
    to stop, `stopping` is set when it does; `takes` says whether it is there to take entries.
    `completeness` has what follows each log, where that is not switched off; `worm` what checks
    each store, by its name. `archive` carries to the stores, `wal` has the claims of replicated
    shards by log and name. `own` tells of this node, `membership` of the others.
    `attachment_places` counts attachments under way. `edges` are the names of client certificates
    whose callers may say for whom they speak, `writers` of those that may write without a token.
    """

    node: str
    logs: Logs
    query: Query
    guard: Guard
    tokens: Tokens
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=SystemClock)
    tokens_required: bool = False
    starting: bool = False
    draining: bool = False
    takes: bool = True
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    meters: Meters = field(default_factory=Meters)
    completeness: dict[str, Completeness] = field(default_factory=dict)
    attachments: Attachments | None = None
    retention: Retention | None = None
    attachment_places: Counter[str] = field(default_factory=Counter)
    worm: dict[str, WormWatch] = field(default_factory=dict)
    archive: Archive | None = None
    wal: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    edges: frozenset[str] = frozenset()
    writers: frozenset[str] = frozenset()
    own: Own | None = None
    membership: Membership | None = None
    mirrors: Mirrors | None = None
    budget: Budget = field(init=False)
    lag_bound: LagBound = field(init=False)
    workers: Executor = field(init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits.bodies)
        self.lag_bound = LagBound(self.query.lag, self.limits.index_lag)
        self.workers = ThreadPoolExecutor(2, thread_name_prefix="bodies")

    @property
    def ready(self) -> bool:
        """Whether the node is neither starting, draining nor stopping."""
        return not (self.starting or self.draining or self.stopping.is_set())

    def shards(self, log: str) -> dict[str, Shard]:
        """Returns the shards of a log by name. Raises UnknownLog, LogElsewhere."""
        try:
            return dict(self.logs[log])
        except KeyError:
            self._look_elsewhere(log)
            raise UnknownLog(f"there is no log {log[:80]!r} here") from None

    def _look_elsewhere(self, log: str) -> None:
        members = self.membership.members() if self.membership is not None else ()
        kept = kept_everywhere(members).get(log)
        if kept is not None:
            stays = f" in {kept.residency}" if kept.residency else ""
            asked = " or ".join(kept.places[:3]) or "its nodes, of which none answers"
            raise LogElsewhere(f"the log {log} is kept{stays}: ask {asked}")

    def shard(self, log: str, name: str) -> Shard:
        """Returns one shard. Raises UnknownLog or UnknownShard."""
        try:
            return self.shards(log)[name]
        except KeyError:
            raise UnknownShard(f"the log {log} has no shard {name[:80]!r}") from None


def context_of(request: Request) -> Context:
    """Returns the context of the application that a request came to."""
    context: Context = request.app.state.context
    return context
