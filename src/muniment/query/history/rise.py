"""When errors rose: a rule that anybody can check by hand.

The traffic is counted in buckets of the same width. A bucket is *high* if at least MIN_ERRORS of
its requests failed, and if the share that failed is over MIN_STEP above, and over FACTOR times, the
median share of the buckets with traffic before it (0 where there are none). A rise begins with a
high bucket, and lasts as long as buckets have a share above that limit; one other bucket in between
does not end it. Of several rises, the one with the most failures counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MIN_ERRORS = 5
MIN_STEP = 0.05
FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests in the `width` milliseconds from `start`, and how many of them failed."""

    start: int
    count: int
    errors: int

    @property
    def share(self) -> float:
        """The share that failed, 0 to 1."""
        return self.errors / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Rise:
    """Errors from `start` to `end` (ms, excluded): `share` failed, `before` was usual."""

    start: int
    end: int
    before: float
    share: float
    count: int
    errors: int


def find_rise(buckets: Sequence[Bucket], width: int) -> Rise | None:
    """Returns the rise with the most failures; None where there is none."""
    rises: list[Rise] = []
    at = 0
    while at < len(buckets):
        usual = _usual(buckets[:at])
        if not _is_high(buckets[at], usual):
            at += 1
            continue
        end = _end(buckets, at, usual)
        inside = buckets[at:end]
        count, errors = sum(b.count for b in inside), sum(b.errors for b in inside)
        rises.append(
            Rise(buckets[at].start, inside[-1].start + width, usual, errors / count, count, errors)
        )
        at = end
    return max(rises, key=lambda rise: rise.errors, default=None)


def onset(rise: Rise, fine: Sequence[Bucket]) -> int:
    """Returns when a rise began, seen in narrower buckets of its first one."""
    high = (b.start for b in fine if b.errors and b.share > _limit(rise.before))
    return max(rise.start, next(high, rise.start))


def _usual(before: Sequence[Bucket]) -> float:
    shares = [bucket.share for bucket in before if bucket.count]
    return median(shares) if shares else 0.0


def _is_high(bucket: Bucket, usual: float) -> bool:
    return bucket.errors >= MIN_ERRORS and bucket.share > _limit(usual)


def _limit(usual: float) -> float:
    return max(usual + MIN_STEP, usual * FACTOR)


def _end(buckets: Sequence[Bucket], start: int, usual: float) -> int:
    """The place after the last bucket of a rise that begins at `start`."""
    last = start
    for place in range(start + 1, len(buckets)):
        if buckets[place].share > _limit(usual):
            last = place
        elif place - last > 1:
            break
    return last + 1
