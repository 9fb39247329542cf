"""The retention of a log, as it was set once, and the lock that it makes.

No minimum is the shortest there is, no maximum (for ever) the longest.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from muniment.errors import Corrupt
from muniment.store.port import Lock, Mode

MAX_POLICIES = 10_000
_SECOND = timedelta(seconds=1)
_LAST = datetime(9999, 1, 1, tzinfo=UTC)
_MAX_SECONDS = 1_000_000 * 366 * 86_400


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A retention as it was set: numbered from 1 within its log; times in whole seconds.

    `minimum` counts from the sealing of a segment, `maximum` from the receipt of its last entry;
    None is no minimum, and no end. `set` is when it was recorded, in RFC 3339.
    """

    log: str
    number: int
    minimum: int | None
    maximum: int | None
    set: str
    version: int = 1

    def encode(self) -> bytes:
        """Returns the bytes of the object that records it in a store."""
        return msgspec.json.encode(self) + b"\n"

    @classmethod
    def decode(cls, data: bytes, where: str, log: str) -> Policy:
        """Reads a recorded policy of a log. Raises Corrupt, with `where` as its file."""
        try:
            found = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Corrupt(where, 0, "a retention policy", str(error)[:200]) from error
        if not is_sound(found, log):
            raise Corrupt(
                where, 0, f"a retention policy of {log}", data[:200].decode("utf-8", "replace")
            )
        return found

    def covers(self, other: Policy) -> bool:
        """Whether it is nowhere shorter than another."""
        return (self.minimum or 0) >= (other.minimum or 0) and _end(self) >= _end(other)

    def __str__(self) -> str:
        least = "no minimum" if self.minimum is None else f"minimum {spelled(self.minimum)}"
        most = "no maximum" if self.maximum is None else f"maximum {spelled(self.maximum)}"
        return f"{least}, {most}"


def is_sound(policy: Policy, log: str) -> bool:
    """Whether a policy that was read is one of a log, with times that can be."""
    times = (policy.minimum, policy.maximum)
    return (
        policy.version == 1
        and policy.log == log
        and 0 < policy.number <= MAX_POLICIES
        and all(time is None or 0 < time <= _MAX_SECONDS for time in times)
    )


def _end(policy: Policy) -> float:
    return float("inf") if policy.maximum is None else float(policy.maximum)


def lock_of(policy: Policy, sealed_at: datetime, mode: Mode) -> Lock | None:
    """Returns the lock that a policy gives an object, be it over; see `Retentions.lock_for`."""
    if policy.minimum is None or mode is Mode.OFF:
        return None
    moment = sealed_at.astimezone(UTC)
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + _SECOND
    try:
        until = moment + timedelta(seconds=policy.minimum)
    except OverflowError:
        until = _LAST
    return Lock(mode, min(until, _LAST))


def spelled(seconds: int) -> str:
    """Returns a duration as the settings write it: `7y`, `90d`, `12h`, `30m`, `45s`."""
    for unit, length in (("y", 365 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
