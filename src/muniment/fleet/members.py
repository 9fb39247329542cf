"""Membership: who else there is, as of a moment ago.

Each look asks every source. A member is lost once nothing new came from it for `lost_after`
seconds of this node's own clock, so clocks need not agree. A lost or left member stays known for a
day, for its shards are still to be read from elsewhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread

from msgspec import structs

from muniment.clock import Clock
from muniment.errors import MunimentError
from muniment.fleet.member import Member, State
from muniment.fleet.sources import MAX_MEMBERS, Objects, Source

FORGET_SECONDS = 86_400.0
MOST_STARTS = 16
_STATES = (State.LEFT, State.LOST)
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """The newest record of a node: when it came, and when one was last seen, new or not.

    Both are seconds of this node's clock. `earlier` are its starts before: a store may still show
    a record of one of them.
    """

    member: Member
    at: float
    seen: float
    earlier: tuple[str, ...] = ()


class Membership:
    """Follows who there is, on a thread for each source; `members` is for any, and never waits.

    `own` returns this node's own record, which is put into `beats` each time, where there is one.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        node: str,
        heartbeat: float,
        lost_after: float,
        clock: Clock,
        own: Callable[[], Member] | None = None,
        beats: Objects | None = None,
    ) -> None:
        self._sources, self._node, self._clock = sources, node, clock
        self._heartbeat, self._lost_after = heartbeat, lost_after
        self._own, self._beats = own, beats
        self._known: dict[str, _Known] = {}
        self._twin: tuple[str, int] | None = None
        self._told: tuple[str, ...] = ()
        self._lock = Lock()
        self._stopping, self._due = Event(), Event()
        self._threads = [
            Thread(target=self._follow, args=(source,), name="members", daemon=True)
            for source in sources
        ]
        if beats is not None:
            self._threads.append(Thread(target=self._beat, name="heartbeat", daemon=True))

    def start(self) -> None:
        """Begins to look, and to beat."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Ends both; what this node says of itself now is told once more."""
        self._stopping.set()
        self._due.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        if self._beats is not None:
            self._tell(self._beats)

    def members(self) -> Sequence[Member]:
        """Returns the other nodes by name; those that have fallen silent are State.LOST."""
        oldest = self._clock.monotonic() - FORGET_SECONDS
        with self._lock:
            known = sorted(self._known.items())
        return [self._judged(one) for _, one in known if one.at >= oldest]

    def silence(self, node: str) -> float:
        """Seconds since something new came from a node; infinite for one that is not known."""
        with self._lock:
            known = self._known.get(node)
        return float("inf") if known is None else self._clock.monotonic() - known.at

    def say(self) -> None:
        """Tells the others of this node's new state soon, rather than at the next beat."""
        self._due.set()

    def look(self) -> None:
        """Asks every source once; for tests."""
        for source in self._sources:
            self._look(source)

    def _look(self, source: Source) -> None:
        try:
            for member in source.look():
                self._take(member, self._clock.monotonic())
        except MunimentError as error:
            _logger.warning("members cannot be asked for: %s", error.detail)
        self._forget(self._clock.monotonic() - FORGET_SECONDS)

    def _forget(self, oldest: float) -> None:
        """Forgets who is not seen any more, and removes the records of who is silent for long.

        One that comes back at that moment puts its record again with its next beat.
        """
        with self._lock:
            for name in [name for name, one in self._known.items() if one.seen < oldest]:
                del self._known[name]
            gone = [name for name, one in self._known.items() if one.at < oldest]
        for name in gone if self._beats is not None else ():
            assert self._beats is not None
            try:
                self._beats.remove(name)
            except MunimentError as error:
                _logger.warning("the record of %s cannot be removed: %s", name, error.detail)
                return

    def _take(self, member: Member, now: float) -> None:
        """Keeps a record that is new: another start of the node, or a later beat of the same."""
        if member.node == self._node:
            self._namesake(member)
            return
        with self._lock:
            known = self._known.get(member.node)
            if known is None:
                if len(self._known) >= MAX_MEMBERS:
                    return
                self._known[member.node] = _Known(member, now, now)
                return
            known.seen = now
            before, earlier = known.member, known.earlier
            if member.incarnation in earlier:
                return
            if member.incarnation != before.incarnation:
                earlier = (*earlier, before.incarnation)[-MOST_STARTS:]
            elif member.beat <= before.beat:
                return
            self._known[member.node] = _Known(member, now, now, earlier)

    def _namesake(self, member: Member) -> None:
        """Says, once a start of it, that another node which is alive has this node's name.

        A record of an earlier start of this node may still lie in a store: it grows no older.
        """
        if self._own is None or member.incarnation == self._own().incarnation:
            return
        with self._lock:
            before, self._twin = self._twin, (member.incarnation, member.beat)
            if before is None or before[0] != member.incarnation or member.beat <= before[1]:
                return
            if member.incarnation in self._told:
                return
            self._told = (*self._told, member.incarnation)[-MOST_STARTS:]
        _logger.error(
            "another node is called %s, too (%s): nothing of it is found here;"
            " give each a name of its own (the setting `node`)",
            self._node,
            member.url,
        )

    def _judged(self, known: _Known) -> Member:
        silent = self._clock.monotonic() - known.at > self._lost_after
        if silent and known.member.state not in _STATES:
            return structs.replace(known.member, state=State.LOST)
        return known.member

    def _follow(self, source: Source) -> None:
        while not self._stopping.is_set():
            try:
                self._look(source)
            except Exception:  # a fault here must not end the thread
                _logger.exception("members cannot be asked for")
            self._stopping.wait(self._heartbeat)

    def _beat(self) -> None:
        assert self._beats is not None
        while not self._stopping.is_set():
            self._due.clear()
            self._tell(self._beats)
            self._due.wait(self._heartbeat)

    def _tell(self, beats: Objects) -> None:
        if self._own is None:
            return
        try:
            beats.put(self._own())
        except MunimentError as error:
            _logger.warning("this node cannot tell the others of itself: %s", error.detail)
        except Exception:
            _logger.exception("this node cannot tell the others of itself")
