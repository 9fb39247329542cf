"""What is told of a mirror, and how far behind it is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock

from muniment.clock import Clock

MOST_SEEN = 256


class MirrorState(StrEnum):
    """`following` pulls; `waiting` has no source that answers; `untrusted` has only sources that
    showed what does not hold; `refused` could not be begun; `damaged` is stopped: the shard's key
    has signed two histories, or the files here do not hold.
    """

    FOLLOWING = "following"
    WAITING = "waiting"
    UNTRUSTED = "untrusted"
    REFUSED = "refused"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """A mirror as of now.

    `root` is in hex, `checkpoint` the newest signed one, `source` where it pulls from. `lag` are
    entries that a source has and this mirror has not, `lag_seconds` how long the first of them has
    been known of. `entries` and `bytes` were mirrored since the start; `failures` counts by reason:
    `unreachable`, `damaged`, `refused-source`, `expired`, `disk`, `settings`, `contradiction`,
    `fault`.
    """

    log: str
    shard: str
    state: MirrorState
    size: int = 0
    root: str = ""
    checkpoint: str = ""
    source: str = ""
    lag: int = 0
    lag_seconds: float = 0.0
    entries: int = 0
    bytes: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


class Lag:
    """How far a mirror is behind what it has seen of others. For any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._most = 0
        self._lock = Lock()

    def saw(self, size: int) -> None:
        """A source has so many entries now."""
        with self._lock:
            if size <= self._most:
                return
            self._most = size
            if len(self._seen) >= MOST_SEEN:  # the newest two become one, of the earlier time
                self._seen[-1] = (self._seen[-1][0], size)
            else:
                self._seen.append((self._clock.monotonic(), size))

    def behind(self, size: int) -> tuple[int, float]:
        """Returns entries and seconds that a mirror of so many entries is behind."""
        with self._lock:
            while self._seen and self._seen[0][1] <= size:
                self._seen.popleft()
            if not self._seen:
                return 0, 0.0
            return self._most - size, max(0.0, self._clock.monotonic() - self._seen[0][0])


@dataclass(slots=True)
class Meters:
    """Counts of one mirror since the start."""

    entries: int = 0
    bytes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
