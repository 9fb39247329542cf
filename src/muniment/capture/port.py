"""What the agent is made of: watchers that look, feeds that follow, and the outlet they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from muniment.capture.snapshot import Json, Snapshot


@dataclass(frozen=True, slots=True)
class Counter:
    """How many requests (or connections) an instance says it served through one of its doors.

    `name` is the frontend, listener, server block or balancer; `served` counts since `epoch`, a
    text that changes whenever the count begins anew (process id and start time). `match` is a query
    that finds exactly the log entries of what is counted here, such as `frontend:http-in`.
    `dropped` is how many log lines the balancer itself says it dropped, where it says so.
    """

    name: str
    served: int
    epoch: str
    match: str
    dropped: int | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """What an object was between two looks, where the system told of it when it happened.

    `snapshot` is None where the object was deleted; `time` (RFC 3339) is when it was told.
    """

    name: str
    snapshot: Snapshot | None
    time: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at one part of an instance: everything of a scope, or why it could not be seen.

    `scope` names the part (`servers`, `certificates`, `files`); the objects of a scope are compared
    with those of its last good look, so `objects` (by whole object name) must be complete. With an
    `error`, nothing is compared: what cannot be seen was not deleted. `counted` is the time as
    of which the counters hold (RFC 3339) where that is not the time of looking.

    `passed` is what was told of since the look before, in its order: each is a change of its own
    against what was known until then, and `objects` is what they lead to. Empty for systems that
    have to be asked.
    """

    scope: str
    objects: Mapping[str, Snapshot] = field(default_factory=dict)
    counters: Sequence[Counter] = ()
    error: str = ""
    counted: str = ""
    passed: Sequence[Passed] = ()


class Watcher(Protocol):
    """Looks at one instance of a system, whenever it is asked.

    `observe` is called from one thread, every `every` seconds; it may block for as long as its own
    time limits say, and raises nothing but MunimentError: what one scope cannot tell must not keep
    the others from being seen. `close` lets go of connections.
    """

    @property
    def name(self) -> str:
        """System and instance: `haproxy:lb1`. Also the name of its stream."""

    @property
    def every(self) -> float:
        """Seconds between looks."""

    def observe(self) -> Iterable[Observation]: ...

    def close(self) -> None: ...


class Outlet(Protocol):
    """Where captured records go. Safe for several threads; one stream belongs to one thread."""

    def put(
        self,
        stream: str,
        source: str,
        records: Sequence[bytes],
        *,
        about: Mapping[str, str] | None = None,
        position: Mapping[str, Json] | None = None,
    ) -> int:
        """Makes records durable in the spool, all or none, and returns the number of the first.

        `source` is their `as`. `position` is where the feed goes on after them; it is durable
        together with them. Waits while the spool is full. Raises Stopped when the agent ends.
        """

    def position(self, stream: str) -> Mapping[str, Json] | None:
        """Returns the position of the last records of a stream; None where there were none."""


class Feed(Protocol):
    """Follows one growing thing (files, a journal, a bucket) and puts what is new.

    `run` goes on until `stopping` is set, and resumes from the outlet's position of `stream`.
    """

    @property
    def stream(self) -> str: ...

    def run(self, outlet: Outlet, stopping: Event) -> None: ...


class Stopped(Exception):
    """The agent ends; what was not put is captured again when it starts."""
