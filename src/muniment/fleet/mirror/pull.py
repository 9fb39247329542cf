"""Pulling one shard: from one source after the other, for as long as nothing contradicts it.

The first source of the list that is not at rest is asked. One that fails rests, longer each time
and with jitter. One that shows what does not hold, spoilt or not signed by the shard's key, rests
up to minutes, and the mirror goes on from the others: whoever can answer can show that, so it is
evidence of nothing. Only two statements that both hold under the key end the mirror.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random
from threading import Event, Thread

from muniment.clock import Clock, rfc3339
from muniment.errors import (
    Corrupt,
    MunimentError,
    SettingsError,
    StorageFailing,
)
from muniment.fleet.mirror.rest import FIRST_PAUSE, LONGEST_PAUSE, LONGEST_REFUSAL, Resting
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Answer, Gone, Source
from muniment.fleet.mirror.status import Lag, Meters, MirrorState, MirrorStatus
from muniment.log.replay import Contradiction, Damaged

WAIT_SECONDS = 10.0
IDLE_SECONDS = 1.0
REFUSED = "refused-source"
DISPUTE_SECONDS = 60.0
"""How long it is remembered that somebody stated another key for a shard."""

_logger = logging.getLogger(__name__)


class Puller:
    """Pulls one shard on a thread of its own. `step` is one question; for tests too.

    `sources` returns those that have the shard now, the best first; `stopped` is told of what
    ended the mirror, `doubted` that bytes came which do not hold: it may be another history.
    """

    def __init__(
        self,
        shard: MirroredShard,
        sources: Callable[[], Sequence[Source]],
        stopped: Callable[[MirroredShard, Contradiction], None],
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
        self._resting = Resting(clock, random)
        self._refused = Resting(clock, random, LONGEST_REFUSAL)
        self._unsigned = Resting(clock, random, LONGEST_REFUSAL)
        self._refusal = ""
        self._disputes = Resting(clock, random, LONGEST_REFUSAL)
        self._disputed = (float("-inf"), "")
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
        if shard.untrusted[0]:
            state = MirrorState.UNTRUSTED
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
            shard.problem or shard.untrusted[0] or self.trouble,
        )

    def distrusts(self, name: str) -> bool:
        """Whether a source showed what does not hold, and nothing that holds since."""
        return name in self._refused or name in self._unsigned

    def distrust(self, name: str, error: Corrupt) -> None:
        """A source showed bytes that do not hold: it is not asked for a while."""
        self._distrust(self._refused, name, error)

    def distrust_checkpoint(self, name: str, error: Corrupt) -> None:
        """The same for a checkpoint, until it shows one that holds. For any thread."""
        self._distrust(self._unsigned, name, error)

    def trust_checkpoint(self, name: str) -> None:
        """A source showed a checkpoint that holds. For any thread."""
        self._unsigned.well(name)

    def _distrust(self, resting: Resting, name: str, error: Corrupt) -> None:
        self.meters.failures[_reason(error)] += 1
        self._refusal = error.detail
        if resting.longer(name):
            self._say(f"{name} is not used for now: {error.detail}")

    def dispute(self, name: str, problem: str) -> None:
        """A member, that is no source for it, states another key. For any thread, at any time."""
        self._disputed = (self._clock.monotonic(), problem)
        if not self._disputes.rests(name):
            self.meters.failures[REFUSED] += 1
            if self._disputes.longer(name):
                self._say(f"it is not used: {problem}")

    def _say(self, problem: str) -> None:
        _logger.warning("%s/%s: %s", self.shard.log, self.shard.name, problem)

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
        sources = self._sources()
        for source in sources:
            self.lag.saw(source.size)
        if not sources:
            self.trouble = "nobody serves it"
        self._judge(sources)
        return next((s for s in sources if not self._rests(s.name)), None)

    def _rests(self, name: str) -> bool:
        return any(
            resting.rests(name) for resting in (self._resting, self._refused, self._unsigned)
        )

    def _judge(self, sources: Sequence[Source]) -> None:
        """Says in the shard's health whether any source is left that can be used."""
        reason = ""
        at, problem = self._disputed
        if sources and all(self.distrusts(source.name) for source in sources):
            reason = f"no source shows what holds: {self._refusal}"
        elif not sources and self._clock.monotonic() - at < DISPUTE_SECONDS:
            reason = f"nobody serves it under its key; {problem}"
        before, since = self.shard.untrusted
        if not reason:
            self.shard.untrusted = ("", "")
        elif reason != before:
            self.shard.untrusted = (reason, since or rfc3339(self._clock.now()))

    def _take(self, source: Source, answer: Answer, early: bool) -> float:
        """Takes what came; `early` says that the source did not wait for it."""
        shard = self.shard
        self.lag.saw(answer.size)
        before, end, place = shard.size, shard.end, shard.place
        try:
            if answer.data:
                shard.grow(answer.data, source.name)
            elif answer.ended and place.offset == answer.length:
                shard.cross()
            elif self.lag.behind(shard.size)[0]:
                self._resting.rest(source.name, IDLE_SECONDS)  # others have more than this one
            elif early:
                return IDLE_SECONDS
        except Contradiction as error:
            self.meters.failures["contradiction"] += 1
            self._stopped(shard, error)
            return 0.0
        except Corrupt as error:
            self.trouble = error.detail
            self.distrust(source.name, error)
            self.doubted()
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
            self._resting.well(source.name)
        if shard.end != end:
            self._refused.well(source.name)
        self.trouble, self._pause = "", FIRST_PAUSE
        return 0.0

    def _failed(self, source: Source, error: MunimentError) -> None:
        """Lets a source rest, longer than the last time."""
        if self.trouble != error.detail:
            _logger.warning("%s/%s: %s", self.shard.log, self.shard.name, error.detail)
        self.trouble = error.detail
        self.meters.failures[_reason(error)] += 1
        self._resting.longer(source.name)


def _reason(error: MunimentError) -> str:
    if isinstance(error, Corrupt):
        return "damaged" if isinstance(error, Damaged) else REFUSED
    if isinstance(error, Gone):
        return "expired"
    return "settings" if isinstance(error, SettingsError) else "unreachable"
