"""Pulling one shard: from one source after the other, for as long as nothing contradicts it.

The first source of the list that is not at rest is asked. One that fails rests, longer each time
and with jitter; bytes that are spoilt let it rest as well, and are asked for elsewhere. Bytes that
are whole and contradict the shard end its mirror.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random
from threading import Event, Thread

from muniment.clock import Clock
from muniment.errors import (
    Corrupt,
    MunimentError,
    SettingsError,
    StorageFailing,
)
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Answer, Gone, Source
from muniment.fleet.mirror.status import Lag, Meters, MirrorState, MirrorStatus
from muniment.log.replay import Damaged

WAIT_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
IDLE_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class Puller:
    """Pulls one shard on a thread of its own. `step` is one question; for tests too.

    `sources` returns those that have the shard now, the best first; `stopped` is told of what
    ended the mirror, `doubted` that spoilt bytes came, which may be another history.
    """

    def __init__(
        self,
        shard: MirroredShard,
        sources: Callable[[], Sequence[Source]],
        stopped: Callable[[MirroredShard, Corrupt], None],
        clock: Clock,
        random: Random,
        *,
        wait: float = WAIT_SECONDS,
    ) -> None:
        self.shard, self.lag, self.meters = shard, Lag(clock), Meters()
        self.source, self.trouble = "", ""
        self.doubted: Callable[[], None] = lambda: None
        self._sources, self._stopped = sources, stopped
        self._clock, self._random, self._wait = clock, random, wait
        self._resting: dict[str, tuple[float, float]] = {}
        self._pause = FIRST_PAUSE
        self._ending = Event()
        name = f"mirror {shard.log}/{shard.name}"
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to pull."""
        self._thread.start()

    def end(self) -> None:
        """Pulls no more; an answer that is still to come is not looked at."""
        self._ending.set()

    def join(self, seconds: float) -> None:
        """Waits for the thread, where it was started; it may be waiting for an answer."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def status(self) -> MirrorStatus:
        """Returns what is known of the mirror now; for any thread."""
        shard, meters = self.shard, self.meters
        state = MirrorState.WAITING if self.trouble else MirrorState.FOLLOWING
        lag, seconds = self.lag.behind(shard.size)
        return MirrorStatus(
            shard.log,
            shard.name,
            MirrorState.DAMAGED if shard.problem else state,
            shard.size,
            shard.root.hex(),
            shard.checkpoint() or "",
            self.source,
            lag,
            seconds,
            meters.entries,
            meters.bytes,
            dict(meters.failures),
            shard.problem or self.trouble,
        )

    def _run(self) -> None:
        while not self._ending.is_set() and not self.shard.ended:
            try:
                pause = self.step()
            except Exception:  # a fault here must not end the mirror unseen
                _logger.exception("%s/%s cannot be mirrored now", self.shard.log, self.shard.name)
                self.meters.failures["fault"] += 1
                pause = LONGEST_PAUSE
            if pause:
                self._ending.wait(pause)

    def step(self) -> float:
        """Asks one source once; returns the seconds to wait before the next time."""
        source = self._next()
        if source is None:
            return IDLE_SECONDS
        if source.name != self.source:
            self.shard.forget()
            self.source = source.name
        asked = self._clock.monotonic()
        try:
            answer = source.read(self.shard.log, self.shard.name, self.shard.place, self._wait)
        except MunimentError as error:
            self._failed(source, error)
            return 0.0
        if self._ending.is_set():
            return 0.0
        early = self._clock.monotonic() - asked < self._wait / 2
        return self._take(source, answer, early)

    def _next(self) -> Source | None:
        """The first source that is not at rest; None where there is none."""
        sources, now = self._sources(), self._clock.monotonic()
        for source in sources:
            self.lag.saw(source.size)
        if not sources:
            self.trouble = "nobody serves it"
        return next((s for s in sources if self._resting.get(s.name, (0.0, 0.0))[0] <= now), None)

    def _take(self, source: Source, answer: Answer, early: bool) -> float:
        """Takes what came; `early` says that the source did not wait for it."""
        shard = self.shard
        self.lag.saw(answer.size)
        before, place = shard.size, shard.place
        try:
            if answer.data:
                shard.grow(answer.data, source.name)
            elif answer.ended and place.offset == answer.length:
                shard.cross()
            elif self.lag.behind(shard.size)[0]:
                self._rest(source, IDLE_SECONDS)  # others have more than this one
            elif early:
                return IDLE_SECONDS
        except Damaged as error:
            self._failed(source, error)
            self.doubted()
            return 0.0
        except Corrupt as error:
            self.meters.failures["contradiction"] += 1
            self._stopped(shard, error)
            return 0.0
        except (StorageFailing, OSError) as error:
            shard.forget()
            self.meters.failures["disk"] += 1
            self.trouble = f"this node's disk: {error}"
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return self._pause * self._random.uniform(0.5, 1.0)
        self.meters.entries += shard.size - before
        self.meters.bytes += len(answer.data)
        if answer.data:
            self._resting.pop(source.name, None)
        self.trouble, self._pause = "", FIRST_PAUSE
        return 0.0

    def _failed(self, source: Source, error: MunimentError) -> None:
        """Lets a source rest, longer than the last time."""
        self.meters.failures[_reason(error)] += 1
        if self.trouble != error.detail:
            _logger.warning("%s/%s: %s", self.shard.log, self.shard.name, error.detail)
        self.trouble = error.detail
        _, pause = self._resting.get(source.name, (0.0, FIRST_PAUSE / 2))
        self._rest(source, min(2 * pause, LONGEST_PAUSE))

    def _rest(self, source: Source, seconds: float) -> None:
        until = self._clock.monotonic() + seconds * self._random.uniform(0.5, 1.0)
        self._resting[source.name] = (until, seconds)
        while len(self._resting) > 256:
            self._resting.pop(next(iter(self._resting)))


def _reason(error: MunimentError) -> str:
    if isinstance(error, Damaged):
        return "damaged"
    if isinstance(error, Gone):
        return "expired"
    return "settings" if isinstance(error, SettingsError) else "unreachable"
