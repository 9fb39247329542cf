"""Closing the shards of nodes that are gone, by whoever of the others comes first.

A shard is orphaned while its key lies in the write-ahead store and no living member writes it.
After `takeover` seconds of that in which nothing was put into the store for it, and once more
asking the node that had it, it is closed: see `store.closing`. The fence decides, so two nodes
that try at the same time, or a node that was only slow, cost work and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from threading import Event, Thread
from typing import Protocol

from muniment.clock import Clock
from muniment.errors import MunimentError, NotFound
from muniment.fleet.member import Member, State
from muniment.settings import Role
from muniment.store.takeover import Taken

FIRST_PAUSE, LAST_PAUSE = 5.0, 300.0
_logger = logging.getLogger(__name__)

Shard = tuple[str, str]
"""Log and name."""


class Closer(Protocol):
    """The stores of this node, as far as they close shards."""

    def unclosed(self, log: str) -> Sequence[str]:
        """Returns the shards of a log that were claimed and not closed. Raises StoreFailing."""

    def newest(self, log: str, shard: str) -> str:
        """Returns what changes when somebody writes a shard. Raises StoreFailing."""

    def close_out(self, log: str, shard: str, stopping: Event) -> Taken:
        """Closes a shard. Raises MunimentError."""


class Takeovers:
    """Looks for orphans at each beat, on a thread of its own, and closes one at a time.

    `writes` says whether this node writes a shard; `alive` asks a member directly, and returns
    its record, or None where it does not answer. `closed` and `failures` count.
    """

    def __init__(
        self,
        logs: Sequence[str],
        closer: Closer,
        members: Callable[[], Sequence[Member]],
        alive: Callable[[Member], Member | None],
        writes: Callable[[str, str], bool],
        *,
        node: str,
        after: float,
        every: float,
        clock: Clock,
    ) -> None:
        self.closed = self.failures = 0
        self._logs, self._closer, self._members = logs, closer, members
        self._alive, self._writes = alive, writes
        self._node, self._after, self._every, self._clock = node, after, every, clock
        self._since: dict[Shard, float] = {}
        self._newest: dict[Shard, str] = {}
        self._pauses: dict[Shard, tuple[float, float]] = {}
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="takeover", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends; what is under way is given up, and can be begun again."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def look(self) -> None:
        """Closes what is due; for the thread, and for tests."""
        now, members = self._clock.monotonic(), self._members()
        orphans = set(self._orphans(members))
        self._since = {one: self._since.get(one, now) for one in orphans}
        self._newest = {one: key for one, key in self._newest.items() if one in orphans}
        patience = self._after + self._rank(members) * self._every
        for log, shard in sorted(orphans):
            if (log, shard) not in self._newest:
                self._newest[log, shard] = self._closer.newest(log, shard)
            due, _ = self._pauses.get((log, shard), (0.0, 0.0))
            late = now - self._since[log, shard] >= patience
            if late and now >= due and not self._alive_after_all(members, log, shard, now):
                self._close(log, shard)
            if self._stopping.is_set():
                return

    def _orphans(self, members: Sequence[Member]) -> Iterable[Shard]:
        """The shards that nobody here and no living member writes.

        One whose node has left in order was archived by it, and comes back with it.
        """
        written = {
            (log, name)
            for member in members
            if member.state is not State.LOST
            for log, shards in member.shards.items()
            for name, shard in shards.items()
            if shard.writable
        }
        for log in self._logs:
            for name in self._closer.unclosed(log):
                if (log, name) not in written and not self._writes(log, name):
                    yield log, name

    def _rank(self, members: Sequence[Member]) -> int:
        """How many others, alive and able, come before this node: they try first."""
        return sum(member.takes and member.node < self._node for member in members)

    def _alive_after_all(self, members: Sequence[Member], log: str, shard: str, now: float) -> bool:
        return self._grows(log, shard, now) or self._speaks(members, log, shard)

    def _grows(self, log: str, shard: str, now: float) -> bool:
        """Whether somebody whom this node does not see has written the shard meanwhile."""
        newest = self._closer.newest(log, shard)
        if newest == self._newest[log, shard]:
            return False
        self._newest[log, shard], self._since[log, shard] = newest, now
        _logger.warning("%s/%s is written by a node not seen here: not taken over", log, shard)
        return True

    def _speaks(self, members: Sequence[Member], log: str, shard: str) -> bool:
        """Whether a member that counts as lost answers all the same, and writes the shard."""
        for member in members:
            known = member.shards.get(log, {}).get(shard)
            if known is None or not known.writable or Role.INGEST not in member.roles:
                continue
            found = self._alive(member)
            there = found.shards.get(log, {}).get(shard) if found is not None else None
            if there is not None and there.writable:
                _logger.warning("%s is silent, but answers: not taken over", member.node)
                return True
        return False

    def _close(self, log: str, shard: str) -> None:
        _logger.warning("%s/%s: nobody writes it: it is taken over and closed", log, shard)
        try:
            taken = self._closer.close_out(log, shard, self._stopping)
        except NotFound:
            pass  # another node has just closed it
        except MunimentError as error:
            self.failures += 1
            _, pause = self._pauses.get((log, shard), (0.0, FIRST_PAUSE / 2))
            pause = min(2 * pause, LAST_PAUSE)
            self._pauses[log, shard] = (self._clock.monotonic() + pause, pause)
            self._newest.pop((log, shard), None)  # our own fence is new
            _logger.error("%s/%s was not closed: %s", log, shard, error.detail)
            return
        else:
            self.closed += 1
            _logger.warning(
                "%s/%s of %s is closed with %d entries, %d of them from write-ahead objects",
                log,
                shard,
                taken.last_owner or "nobody",
                taken.size,
                taken.replayed,
            )
        self._since.pop((log, shard), None)
        self._newest.pop((log, shard), None)
        self._pauses.pop((log, shard), None)

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.look()
            except MunimentError as error:
                _logger.warning("orphaned shards cannot be looked for: %s", error.detail)
            except Exception:  # a fault here must not end the thread
                _logger.exception("orphaned shards cannot be looked for")
